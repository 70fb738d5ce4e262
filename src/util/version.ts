import { readFileSync } from "node:fs";

/** The version of this tool from its package.json; `unknown` if that cannot be read. */
export function toolVersion(): string {
  try {
    const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
    return (JSON.parse(text) as { readonly version: string }).version;
  } catch {
    return "unknown";
  }
}
