import { OpsError } from "../errors.js";
import { type Endpoint, replicaKey } from "../model/cluster-state.js";
import type { Caller } from "./caller.js";
import type { Admission } from "./cluster.js";

/** Which changes reach which tablets; kept for all calls of one cluster. */
export interface Admissions {
  admit(endpoint: Endpoint, admission: Admission): void;
  /**
   * To be called right before a change leaves that is sent to a tablet.
   *
   * @param loads The `replicaKey` of the replica that the change loads, if it loads one.
   * @throws OpsError `unidentified` if the tablet does not admit it.
   */
  check(endpoint: Endpoint, loads?: string): void;
  /** The same for a request to the nameserver that makes it send something to a tablet. */
  checkAbout(endpoint: Endpoint): void;
}

/** See {@link Admissions}; a tablet that was never admitted takes every change. */
export function createAdmissions({ connection }: Pick<Caller, "connection">): Admissions {
  const admitted = new Map<Endpoint, Admission>();
  const checkAbout = (endpoint: Endpoint): void => {
    const admission = admitted.get(endpoint);
    if (admission !== undefined && admission.connection !== connection(endpoint)) {
      throw unidentified(endpoint, "has a new connection since it was identified");
    }
  };
  return {
    admit: (endpoint, admission) => void admitted.set(endpoint, admission),
    checkAbout,
    check(endpoint, loads) {
      checkAbout(endpoint);
      const changes = admitted.get(endpoint)?.changes ?? "all";
      const isLoad = typeof changes === "object" && replicaKey(changes) === loads;
      if (changes === "all" || isLoad) return;
      throw unidentified(endpoint, "is not identified yet");
    },
  };
}

/** Looking again may show it. */
function unidentified(endpoint: Endpoint, why: string): OpsError {
  return new OpsError({
    code: "unidentified",
    message: `${endpoint} ${why}; nothing was sent`,
    retryable: true,
    endpoint,
  });
}
