import { OpsError } from "../errors.js";
import { type Endpoint, replicaKey } from "../model/cluster-state.js";
import type { Caller } from "./caller.js";
import type { Admission } from "./cluster.js";

/** Decides which changes may be sent to which tablets, for all calls of one cluster. */
export interface Admissions {
  admit(endpoint: Endpoint, admission: Admission): void;
  /**
   * Must be called right before a change is sent to a tablet.
   *
   * @param loads The `replicaKey` of the replica that the change loads; undefined if it loads none.
   * @throws OpsError `unidentified` if the change is not admitted.
   */
  check(endpoint: Endpoint, loads?: string): void;
  /** The check for a request to the nameserver that makes it send something to a tablet: the connection only. */
  checkAbout(endpoint: Endpoint): void;
}

/** See {@link Admissions}. A tablet without an admission gets every change. */
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

/** Retryable, because the next observation may identify the tablet. */
function unidentified(endpoint: Endpoint, why: string): OpsError {
  return new OpsError({
    code: "unidentified",
    message: `${endpoint} ${why}; nothing was sent`,
    retryable: true,
    endpoint,
  });
}
