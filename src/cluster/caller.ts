import type {
  DescMessage,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { isFieldSet } from "@bufbuild/protobuf";
import { OpsError } from "../errors.js";
import { type Endpoint, replicaKey } from "../model/cluster-state.js";
import type { Admission, Connection } from "./cluster.js";
import { reworded } from "./failure.js";
import { codes, rejection } from "./response-codes.js";
import type { CallOptions, Transport } from "./transport.js";

/** Calls nameservers and tablets by their names in the cluster. */
export interface Caller {
  /**
   * Makes one call, without retries.
   *
   * @param accepted Response codes that are not failures, in addition to 0.
   * @param before Called right before the request is sent; if it throws, nothing is sent.
   * @returns The answer, whose `code` is 0 or one of `accepted`.
   * @throws OpsError `rejected` for every other code, and the errors of the transport and of the address look-up.
   *   An answer without `code` is `bad-answer`, because OpenMLDB always sets it.
   */
  call<I extends DescMessage, O extends DescMessage>(
    endpoint: Endpoint,
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    accepted?: readonly number[],
    before?: () => void,
  ): Promise<MessageShape<O>>;
  /** The address of an endpoint; cached until a call cannot reach it. */
  addressOf(endpoint: Endpoint): Promise<string>;
  /** The current connection to an endpoint; undefined if there is none. */
  connection(endpoint: Endpoint): Connection | undefined;
  /** Restricts the changes that are sent to a tablet; see `Cluster.admit`. */
  admit(endpoint: Endpoint, admission: Admission): void;
  /**
   * Must be called right before a change is sent to a tablet.
   *
   * @param loads The `replicaKey` of the replica that the change loads; undefined if it loads none.
   * @throws OpsError `unidentified` if the change is not admitted.
   */
  checkChange(endpoint: Endpoint, loads?: string): void;
  /** The check for a request to the nameserver that makes it send something to a tablet: the connection only. */
  checkConnection(endpoint: Endpoint): void;
  /** Calls made so far, failed ones included. */
  callCount(): number;
}

/** @param options `resolve` looks up an address; `callOptions` apply to every call. */
export function createCaller(options: {
  readonly transport: Transport;
  readonly resolve: (endpoint: Endpoint) => Promise<string>;
  readonly callOptions: CallOptions;
}): Caller {
  const addresses = new Map<Endpoint, Promise<string>>();
  const dialled = new Map<Endpoint, string>();
  let count = 0;

  function addressOf(endpoint: Endpoint): Promise<string> {
    let address = addresses.get(endpoint);
    if (address === undefined) {
      address = options.resolve(endpoint);
      addresses.set(endpoint, address);
      address.catch(() => addresses.delete(endpoint));
    }
    return address;
  }

  async function call<I extends DescMessage, O extends DescMessage>(
    endpoint: Endpoint,
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    accepted: readonly number[] = [],
    before?: () => void,
  ): Promise<MessageShape<O>> {
    const address = await addressOf(endpoint);
    dialled.set(endpoint, address);
    before?.();
    count += 1;
    let answer: MessageShape<O>;
    try {
      answer = await options.transport.unary(address, method, request, options.callOptions);
    } catch (error) {
      if (!(error instanceof OpsError)) {
        throw error;
      }
      if (error.code === "unreachable" || error.code === "deadline") {
        addresses.delete(endpoint);
      }
      throw address === endpoint || error.endpoint === undefined
        ? error
        : reworded(error, { message: `${endpoint}: ${error.message}`, endpoint });
    }
    checkCode({ endpoint, method, accepted }, answer);
    return answer;
  }

  function connection(endpoint: Endpoint): Connection | undefined {
    const address = dialled.get(endpoint);
    return address === undefined ? undefined : options.transport.connection(address);
  }

  return { call, addressOf, connection, ...admissions(connection), callCount: () => count };
}

/** Decides which changes may be sent to which tablets. A tablet without an admission gets every change. */
function admissions(
  connection: Caller["connection"],
): Pick<Caller, "admit" | "checkChange" | "checkConnection"> {
  const admitted = new Map<Endpoint, Admission>();
  const checkConnection = (endpoint: Endpoint): void => {
    const admission = admitted.get(endpoint);
    if (admission !== undefined && admission.connection !== connection(endpoint)) {
      throw unidentified(endpoint, "has a new connection since it was identified");
    }
  };
  return {
    admit: (endpoint, admission) => void admitted.set(endpoint, admission),
    checkConnection,
    checkChange(endpoint, loads) {
      checkConnection(endpoint);
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

function checkCode(
  {
    endpoint,
    method,
    accepted,
  }: { endpoint: Endpoint; method: DescMethodUnary; accepted: readonly number[] },
  answer: MessageShape<DescMessage>,
): void {
  const field = method.output.fields.find(({ name }) => name === "code");
  if (field === undefined || !isFieldSet(answer, field)) {
    throw new OpsError({
      code: "bad-answer",
      message: `${method.name} at ${endpoint}: the answer has no response code`,
      endpoint,
    });
  }
  const { code, msg } = answer as MessageShape<DescMessage> & {
    readonly code: number;
    readonly msg: string;
  };
  if (code !== codes.ok && !accepted.includes(code)) {
    throw rejection({ endpoint, method: method.name, code, msg });
  }
}
