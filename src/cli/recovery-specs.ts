import { usageError } from "../errors.js";
import { isLoss, lossFlagValue } from "../model/loss.js";
import {
  commonSpecs,
  dbOfTable,
  limitSpecs,
  lockSpecs,
  oneTable,
  onlyDb,
  onlyPids,
  operateSpecs,
  outputSpecs,
  planSpecs,
  stateSpecs,
  waitSpecs,
  watchSpecs,
} from "./common-specs.js";
import {
  anyText,
  endpointList,
  integer,
  oneEndpoint,
  partitionsOrLoss,
  readableFile,
  replaceableFile,
} from "./flag-values.js";
import { type FlagsOf, many, noVariable, optional, required, toggle, withDefault } from "./spec.js";
import { healthSpecs } from "./verify-specs.js";

/** `--lost`: tablets that the operator declares lost. */
const lostTablets = noVariable(
  many(["lost", "ENDPOINT", "recover without this tablet: it will not return"], endpointList),
);

/** Flags of `recoverdata`. */
export const recoverDataSpecs = {
  ...commonSpecs,
  ...outputSpecs,
  ...planSpecs,
  ...lockSpecs,
  ...waitSpecs,
  ...stateSpecs,
  resume: noVariable(
    toggle("resume", "continue the last run of this cluster that did not end well"),
  ),
  db: onlyDb,
  concurrency: withDefault(
    ["concurrency", "N", "partitions worked on at the same time"],
    integer(1, 10_000),
    "128",
  ),
  loadsPerTablet: withDefault(
    ["loads_per_tablet", "N", "loads on one tablet at the same time where loads are slow"],
    integer(1, 64),
    "3",
  ),
  /** File that the whole report is written to as JSON. */
  reportFile: optional(
    ["report_file", "FILE", "write the result there too, as --output=json prints it"],
    replaceableFile(),
  ),
  /** Partitions in which data may be discarded, or the accepted loss with lost tablets. */
  acceptDataLoss: noVariable(
    many(
      [
        "accept_data_loss",
        "DB.TABLE:PID|lost=N..M",
        "give up what cannot be kept there (with --leader), or with --lost tablets",
      ],
      partitionsOrLoss,
    ),
  ),
  /** The chosen leaders, one for each partition of `acceptDataLoss`, in the same order. */
  leader: noVariable(
    many(
      ["leader", "ENDPOINT", "the replica to promote there; one for each --accept_data_loss"],
      endpointList,
    ),
  ),
  /** New file that open decisions are written to. */
  decisionsOut: noVariable(
    optional(["decisions_out", "FILE", "write the open decisions there, to be filled in"], anyText),
  ),
  /** File of decisions to apply. */
  decisions: noVariable(
    optional(
      ["decisions", "FILE", "apply these decisions, if they still fit the cluster"],
      readableFile,
    ),
  ),
  /** True if auto_failover stays off at the end while decisions are open. */
  keepsOffUndecided: toggle(
    "keep_off_while_undecided",
    "leave auto_failover off at the end while partitions need a decision",
  ),
  /** Tablets that the operator declares lost. */
  lost: lostTablets,
  /** True if the missing replicas are added on other tablets afterwards. */
  replaces: noVariable(
    toggle("replace", "with --lost: then add the missing replicas on other tablets"),
  ),
  /** True if the rows of the recovered partitions are compared at the end. */
  isDeep: noVariable(
    toggle("deep", "at the end compare the rows of what was worked on, as verify --deep does"),
  ),
  ...limitSpecs,
};

/** Flags of `recoverdata`. */
export type RecoverDataFlags = FlagsOf<typeof recoverDataSpecs>;

/** Flags of `recovertable`. */
export const recoverTableSpecs = {
  ...recoverDataSpecs,
  db: dbOfTable,
  table: oneTable,
  pids: onlyPids,
  /** The only tablet whose replicas are recovered; undefined for all. */
  endpoint: noVariable(
    optional(["endpoint", "ENDPOINT", "the replicas on this tablet only"], oneEndpoint),
  ),
  isForced: noVariable(toggle("force", "mark healthy followers dead first, and recover them too")),
};

/** Flags of `recovertable`. */
export type RecoverTableFlags = FlagsOf<typeof recoverTableSpecs>;

/** Flags of `inspect`. */
export const inspectSpecs = {
  ...healthSpecs,
  ...watchSpecs,
  maxLag: withDefault(
    ["max_lag", "N", "log entries that a follower may lack before it gets a warning of its own"],
    integer(0, 10 ** 15 - 1),
    "10000",
  ),
  /** True if each unhealthy partition is shown with its replicas, however many there are. */
  isVerbose: toggle("verbose", "each partition that is not healthy, with its replicas"),
  /** Tablets that are treated as lost. */
  lost: lostTablets,
};

/** Flags of `inspect`. */
export type InspectFlags = FlagsOf<typeof inspectSpecs>;

/** Checks the combination of flags. @throws OpsError `usage`. */
export function checkRecoverData(flags: RecoverDataFlags): void {
  checkLost(flags);
  const { leader } = flags;
  const named = flags.acceptDataLoss.filter((one) => !isLoss(one));
  if (named.length === leader.length) return;
  throw usageError(
    `--accept_data_loss names ${named.length} partitions and --leader ${leader.length} replicas`,
    "give one --leader for each --accept_data_loss, in the same order",
  );
}

function checkLost({
  lost,
  method,
  apply,
  acceptDataLoss: named,
  replaces,
  output,
}: RecoverDataFlags): void {
  const sums = named.filter(isLoss).map(lossFlagValue);
  if (sums.length > 1) {
    throw usageError(
      "--accept_data_loss names several sums of lost tablets",
      "give the one that the plan printed",
    );
  }
  if (lost.length === 0 && sums.length > 0) {
    throw usageError(
      `--accept_data_loss=${sums[0]} needs --lost`,
      "say which tablet is lost: --lost=ENDPOINT",
    );
  }
  if (lost.length === 0 && replaces) {
    throw usageError(
      "--replace needs --lost",
      "to add missing replicas at any time: scaleout --add_missing",
    );
  }
  if (replaces && output === "json") {
    throw usageError(
      "--replace makes two reports, and --output=json prints one",
      "leave out --replace and run the command that is printed at the end",
    );
  }
  if (lost.length > 0 && method === "documented") {
    throw usageError("--lost cannot be combined with --method=documented", "leave out --method");
  }
  if (lost.length > 0 && apply !== undefined) {
    throw usageError(
      "--lost cannot be combined with --apply",
      "leave it out: the plan contains it",
    );
  }
}

/** Flags of `movetablet`. */
export const moveTabletSpecs = {
  from: noVariable(
    required(
      ["from", "ENDPOINT", "the tablet on record, which is not registered any more"],
      oneEndpoint,
      "--from=10.0.0.1:9527",
    ),
  ),
  to: noVariable(
    required(
      ["to", "ENDPOINT", "the tablet that has its disk now"],
      oneEndpoint,
      "--to=10.0.0.4:9527",
    ),
  ),
  ...operateSpecs,
};

/** Flags of `movetablet`. */
export type MoveTabletFlags = FlagsOf<typeof moveTabletSpecs>;

/** Checks the combination of flags. @throws OpsError `usage`. */
export function checkMove({ from, to }: MoveTabletFlags): void {
  if (from !== to) return;
  throw usageError(
    `--from and --to are the same tablet, ${from}`,
    "in a cluster with server names the record needs no change: correct the address in map/names and restart what still uses the old one",
  );
}
