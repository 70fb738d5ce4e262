import { fileURLToPath } from "node:url";
import type {
  DescMessage,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { expect, onTestFinished } from "vitest";
import { createGrpcTransport } from "../../src/cluster/grpc-transport.js";
import { readRecording } from "../../src/sandbox/model/recording-document.js";
import { type Sandbox, type SandboxOptions, startSandbox } from "../../src/sandbox/start.js";

/** Path of a recording of the repository. */
export function recordingPath(name: string): string {
  return fileURLToPath(new URL(`../recordings/${name}.json`, import.meta.url));
}

/**
 * Starts a sandbox on free ports and stops it at the end of the test.
 *
 * @param options As for `startSandbox`; a small cluster of one table if left out.
 */
export async function sandboxForTest(options: SandboxOptions = {}): Promise<Sandbox> {
  const sandbox = await startSandbox({ tables: 1, partitions: 2, rows: 10, seed: 1, ...options });
  onTestFinished(() => sandbox.stop());
  return sandbox;
}

/** Boots a recording of the repository; see {@link sandboxForTest}. */
export async function sandboxFromRecording(
  name: string,
  options: SandboxOptions = {},
): Promise<Sandbox> {
  return sandboxForTest({ ...options, recording: readRecording(recordingPath(name)) });
}

/** Waits until the leading nameserver has noticed that tablets are gone. */
export async function noticedGone(
  { model }: Sandbox,
  ...endpoints: readonly string[]
): Promise<void> {
  await expect
    .poll(() => endpoints.map((one) => model.leader?.isHealthy(one)))
    .toEqual(endpoints.map(() => false));
}

/** One call over gRPC by the real transport, on a new connection. */
export async function callSandbox<I extends DescMessage, O extends DescMessage>(
  address: string,
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  options: { readonly timeoutMs?: number; readonly authorization?: string } = {},
): Promise<MessageShape<O>> {
  const transport = createGrpcTransport({ authorization: options.authorization ?? "sdefault" });
  try {
    return await transport.unary(address, method, request, {
      timeoutMs: options.timeoutMs ?? 30_000,
    });
  } finally {
    transport.close();
  }
}
