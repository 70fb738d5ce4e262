import { type Absence, type AbsenceKind, absenceOf, registrationOf } from "../model/absence.js";
import { type Advice, changing, doing } from "../model/advice.js";
import type { ClusterState, Endpoint, TabletView, Topology } from "../model/cluster-state.js";
import type { PartitionView } from "../model/partition-view.js";
import type { PrintCommand } from "../model/tool-command.js";

/** Number of candidates of a possibly moved tablet for which a command is printed. */
const CANDIDATES_MAX = 3;

/** The order in which absent tablets are handled. */
const ORDER: readonly AbsenceKind[] = [
  "not-what-it-says",
  "unreachable",
  "restarting",
  "moved",
  "down",
  "unknown-to-nameserver",
  "lost",
];

/** The words for each state in a sentence: `tablet a:9527 is down: ...`. */
const WORDS: Readonly<Record<AbsenceKind, string>> = {
  unreachable: "unreachable from this machine",
  restarting: "restarting",
  down: "down",
  "unknown-to-nameserver": "down",
  moved: "down, or moved to another address",
  lost: "lost for good",
  "not-what-it-says": "another tablet",
};

/**
 * The state and its proof, for a sentence that begins with the tablet's name and `is`.
 *
 * @param detail The `tabletDetail` of `tabletHealth`.
 */
export function absenceText(absence: Absence, detail: string): string {
  const text = `${WORDS[absence.kind]}: ${detail}`;
  return absence.kind === "moved" ? `${text}; ${candidatesText(absence.candidates)}` : text;
}

/** The advice on an absent tablet, without the recovery that follows it. */
export function absenceAdvice(endpoint: Endpoint, absence: Absence, print: PrintCommand): Advice {
  switch (absence.kind) {
    case "unreachable": {
      const { nameserverAddress: other, silence, leftRegistration: znode } = absence;
      if (znode !== undefined) {
        return [
          doing(
            `if no tablet runs at ${endpoint}, delete the znode that was left behind, which belongs to no session: ${znode}`,
            "server",
          ),
        ];
      }
      const entry =
        other === undefined
          ? ""
          : `; the nameserver reaches it at ${other}, map/names holds another address`;
      return [
        doing(`make tablet ${endpoint} reachable from this machine (${silence}${entry})`, "server"),
      ];
    }
    case "restarting":
      return [doing(`wait some seconds for tablet ${endpoint}, or start it`, "server")];
    case "moved": {
      const find = `find out whether tablet ${endpoint} is back at another address (${candidatesText(absence.candidates)}); to record the new address of each replica that is proven to be there`;
      return [
        ...absence.candidates
          .slice(0, CANDIDATES_MAX)
          .map((to, index) =>
            changing(
              index === 0 ? find : "",
              print({ cmd: "movetablet", from: endpoint, to }),
              "server",
            ),
          ),
        doing(`if it is at no other address, start tablet ${endpoint}`, "server"),
      ];
    }
    case "lost":
      return [doing(`do not start tablet ${endpoint}`, "server")];
    case "not-what-it-says":
      return [doing(`correct the address of tablet ${endpoint} (${absence.mismatch})`, "server")];
    case "down":
    case "unknown-to-nameserver":
      return [doing(`start tablet ${endpoint}`, "server")];
  }
}

function candidatesText(candidates: readonly Endpoint[]): string {
  const [first, ...others] = candidates;
  return others.length === 0
    ? `${first} is registered and has no replica on record`
    : `${candidates.join(", ")} are registered and have no replica on record`;
}

/** A replica on an absent tablet. */
export interface AbsentReplica {
  readonly endpoint: Endpoint;
  readonly absence: Absence;
}

/** The absent tablet of a partition that has to be dealt with first; undefined if no tablet is absent. */
export function firstAbsence(view: PartitionView): AbsentReplica | undefined {
  const away = view.replicas.flatMap(({ endpoint, absence }) =>
    absence === undefined ? [] : [{ endpoint, absence }],
  );
  return ORDER.flatMap((kind) => away.filter(({ absence }) => absence.kind === kind))[0];
}

/** The state and its facts for JSON. Durations are milliseconds. */
export function absenceDocument(absence: Absence) {
  const { kind: state, ...facts } = absence;
  return { state, ...facts };
}

/**
 * The advice on a tablet that is registered but does not answer, without the command that follows it.
 *
 * @param hasReplicas True if the record has a replica there. If not, the registration may be a leftover.
 */
export function blockerAdvice(
  topology: Pick<Topology, "rootPath">,
  tablet: TabletView,
  hasReplicas: boolean,
  print: PrintCommand,
): Advice {
  const { endpoint } = tablet;
  const absence = absenceOf(tablet);
  if ((hasReplicas || tablet.leftRegistration !== undefined) && absence !== undefined)
    return absenceAdvice(endpoint, absence, print);
  return [
    doing(
      `find out whether a tablet runs at ${endpoint}, where no replica is on record; if none does, delete the znode that was left behind: ${registrationOf(topology, endpoint)}`,
      "server",
    ),
  ];
}

/**
 * What to do before the cluster's ops can end; undefined if no tablet blocks them. The nameserver ends no task of an op
 * until each tablet that it counts as healthy has reported its tasks (OpenMLDB 0.9 nameserver: UpdateTaskStatus). So a
 * tablet that is registered, healthy for the nameserver, and silent blocks all ops.
 */
export function unblockOps(
  state: Pick<ClusterState, "topology" | "tablets" | "tables">,
  print: PrintCommand,
): Advice | undefined {
  const first = [...state.tablets.values()].find((one) => absenceOf(one)?.kind === "unreachable");
  if (first === undefined) return undefined;
  const hasReplicas = state.tables.some(({ partitions }) =>
    partitions.some(({ replicas }) => replicas.some((one) => one.endpoint === first.endpoint)),
  );
  return blockerAdvice(state.topology, first, hasReplicas, print);
}
