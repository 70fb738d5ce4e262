import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { PageAssets } from "../report/html.js";

const STYLES = ["colors", "page", "parts", "media"];

/** Reads the style sheets and the script of HTML reports from the package. */
export function reportAssets(): PageAssets {
  const read = (name: string) =>
    readFileSync(new URL(`../../assets/report/${name}`, import.meta.url), "utf8");
  return {
    css: STYLES.map((name) => read(`${name}.css`)).join("\n"),
    script: read("script.js"),
    sha256: (text) => createHash("sha256").update(text, "utf8").digest("base64"),
  };
}
