import { setMaxListeners } from "node:events";
import type {
  DescMessage,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { Connection } from "../../cluster/cluster.js";
import type { CallOptions, Transport } from "../../cluster/transport.js";
import { OpsError } from "../../errors.js";
import type { SandboxModel } from "./model.js";
import { ModelFailure } from "./model-types.js";

/**
 * Calls a model directly, on the model's clock, without sockets and serialization.
 *
 * @returns A transport; `close` makes all calls in flight, and later ones, fail.
 */
export function modelTransport(model: SandboxModel): Transport {
  // Not an AbortSignal: adding or removing a listener there takes time linear in their number.
  const open: Connections = { isClosed: false, calls: new Set(), made: new Map() };
  return {
    connection: (address) => connectionTo(model, open, address),
    unary: (address, method, request, options) =>
      call(model, { address, method, request, options, open }),
    close: () => {
      open.isClosed = true;
      for (const end of open.calls) end();
    },
  };
}

/** The connections of one transport. */
interface Connections {
  isClosed: boolean;
  /** Functions that end the calls in flight. */
  readonly calls: Set<() => void>;
  /** By address: the connection, and the start of the process that it was made to. */
  readonly made: Map<string, { readonly connection: Connection; readonly life: number }>;
}

/** The connection to an address, unless the process at its other end has restarted. */
function connectionTo(
  model: SandboxModel,
  { made }: Connections,
  address: string,
): Connection | undefined {
  const known = made.get(address);
  return known?.life === model.lifeAt(address) ? known?.connection : undefined;
}

/** Connects if there is no connection and a process listens at the address. */
function connect(model: SandboxModel, open: Connections, address: string): void {
  const life = model.lifeAt(address);
  if (life === undefined || connectionTo(model, open, address) !== undefined) return;
  open.made.set(address, { connection: Symbol(address), life });
}

interface Call<I extends DescMessage, O extends DescMessage> {
  readonly address: string;
  readonly method: DescMethodUnary<I, O>;
  readonly request: MessageInitShape<I>;
  readonly options: CallOptions;
  readonly open: Connections;
}

function call<I extends DescMessage, O extends DescMessage>(
  model: SandboxModel,
  { address, method, request, options, open }: Call<I, O>,
): Promise<MessageShape<O>> {
  const { timeoutMs, signal } = options;
  return new Promise((resolve, reject) => {
    const fail = (parts: ConstructorParameters<typeof OpsError>[0]) => {
      release();
      if (parts.retryable === true) open.made.delete(address);
      reject(new OpsError(parts));
    };
    const onAbort = () => fail({ code: "interrupted", message: `${method.name} was interrupted` });
    const onClose = () => fail({ code: "unreachable", message: "the connection was closed" });
    const deadline = () =>
      fail({
        code: "deadline",
        message: `${address} did not answer ${method.name} in ${timeoutMs} ms`,
        retryable: true,
      });
    const cancel = model.clock.setTimer(timeoutMs, deadline);
    const release = () => {
      cancel();
      signal?.removeEventListener("abort", onAbort);
      open.calls.delete(onClose);
    };
    if (signal?.aborted) return onAbort();
    if (open.isClosed) return onClose();
    if (signal !== undefined) setMaxListeners(0, signal);
    signal?.addEventListener("abort", onAbort, { once: true });
    open.calls.add(onClose);
    connect(model, open, address);
    model.call(address, method, request).then(
      (answer) => {
        release();
        resolve(answer as MessageShape<O>);
      },
      (thrown: unknown) => fail(partsOf(thrown, address, method.name)),
    );
  });
}

function partsOf(
  thrown: unknown,
  address: string,
  method: string,
): ConstructorParameters<typeof OpsError>[0] {
  if (thrown instanceof ModelFailure && thrown.kind !== "unimplemented") {
    const message = `${address} could not be reached for ${method}: connection ${thrown.kind}`;
    return { code: "unreachable", message, retryable: true, cause: thrown };
  }
  return { code: "bad-answer", message: `${address} failed at ${method}`, cause: thrown };
}
