import type {
  DescMessage,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { Connection } from "./cluster.js";

/** Limits of one call. */
export interface CallOptions {
  /** The call fails with `deadline` after this many milliseconds. */
  readonly timeoutMs: number;
  /** Aborting it ends the call with `interrupted`; the request may still have an effect. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes unary calls to addresses: over gRPC in production (`grpc-transport.ts`), directly into the model in
 * simulations (`sandbox/`). All code above this interface is the same.
 */
export interface Transport {
  /**
   * @param address `host:port`, never a server name.
   * @param request Field values; fields that are left out are not sent.
   * @returns The decoded answer, whatever its `code` is.
   * @throws OpsError `unreachable`, `deadline`, `interrupted` or `bad-answer`.
   */
  unary<I extends DescMessage, O extends DescMessage>(
    address: string,
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions,
  ): Promise<MessageShape<O>>;
  /** The current connection to an address; undefined if there is none. */
  connection(address: string): Connection | undefined;
  /** Closes all connections. Calls in flight fail. */
  close(): void;
}
