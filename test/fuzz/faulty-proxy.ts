import { connect, type Socket } from "node:net";
import type { Random } from "../../src/sandbox/model/random.js";
import { startTcp, type TcpServer } from "../helpers/tcp.js";

/** The faults that a proxy applies to bytes on their way. */
export const TCP_FAULTS = ["flip", "cut", "stall", "duplicate", "delay"] as const;

/** One of {@link TCP_FAULTS}. */
export type TcpFault = (typeof TCP_FAULTS)[number];

/** A forwarder that damages the bytes it carries until it is stopped. */
export interface FaultyProxy extends TcpServer {
  /** Stops all faults; stalled connections are cut. */
  mend(): void;
}

/** The probability of a fault, and the possible kinds. */
export interface FaultyOptions {
  readonly random: Random;
  readonly faults: readonly TcpFault[];
  /** The probability of a fault for each chunk. */
  readonly rate: number;
}

/**
 * Starts a proxy in front of a port of 127.0.0.1. It flips bits in answers only: a flipped request could make any change, which
 * the tool cannot prevent.
 */
export async function startFaultyProxy(
  target: number,
  options: FaultyOptions,
): Promise<FaultyProxy> {
  let isMended = false;
  const stalled = new Set<Socket>();
  const server = await startTcp((inner) => {
    const outer = connect(target, "127.0.0.1");
    inner.setNoDelay();
    outer.setNoDelay();
    const end = () => {
      inner.destroy();
      outer.destroy();
    };
    for (const socket of [inner, outer]) {
      socket.on("error", end);
      socket.on("close", end);
    }
    const forward = (from: Socket, to: Socket, isAnswer: boolean) => {
      // Bytes stay in order, also after delayed ones.
      let turn = Promise.resolve();
      from.on("data", (bytes) => {
        turn = turn.then(() => carry(bytes, to, isAnswer));
      });
    };
    const carry = async (bytes: Buffer, to: Socket, isAnswer: boolean): Promise<void> => {
      if (stalled.has(inner) || to.destroyed) return;
      const fault = isMended ? undefined : pickFault(options, isAnswer);
      switch (fault) {
        case "cut":
          end();
          return;
        case "stall":
          stalled.add(inner);
          return;
        case "delay":
          await new Promise((resolve) => setTimeout(resolve, options.random.below(400)));
          break;
        case "flip": {
          const at = options.random.below(bytes.length);
          bytes[at] = (bytes[at] ?? 0) ^ (1 << options.random.below(8));
          break;
        }
        case "duplicate":
          to.write(bytes);
          break;
        default:
      }
      if (!to.destroyed) to.write(bytes);
    };
    forward(inner, outer, false);
    forward(outer, inner, true);
  });
  return {
    ...server,
    mend() {
      isMended = true;
      for (const socket of stalled) socket.destroy();
      stalled.clear();
    },
  };
}

function pickFault({ random, faults, rate }: FaultyOptions, isAnswer: boolean) {
  if (!random.chance(rate)) return undefined;
  const fault = faults[random.below(faults.length)];
  return fault === "flip" && !isAnswer ? undefined : fault;
}
