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
  /** Aborting it ends the call with `interrupted`; what the peer does about it is not known. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Carries one unary call to one address. Over gRPC in production (`grpc-transport.ts`), straight
 * into the model in simulations (`sandbox/`); everything above it is the same code.
 */
export interface Transport {
  /**
   * @param address `host:port` to dial (the real endpoint, never a server name).
   * @param request Field values; what is left out is absent on the wire.
   * @returns The decoded answer, whatever its `code` field says.
   * @throws OpsError `unreachable`, `deadline`, `interrupted` or `bad-answer`.
   */
  unary<I extends DescMessage, O extends DescMessage>(
    address: string,
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions,
  ): Promise<MessageShape<O>>;
  /** The connection over which a call to an address would go now; undefined while there is none. */
  connection(address: string): Connection | undefined;
  /** Ends all connections. Calls in flight fail. */
  close(): void;
}
