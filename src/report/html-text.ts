import { numberText } from "../model/counted.js";
import { safe } from "../util/text.js";

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Escapes text of any origin for the content of an element and for a quoted attribute. */
export function html(text: string): string {
  return safe(text).replaceAll(/[&<>"']/g, (char) => ENTITIES[char] ?? char);
}

/** A line that counts what is left out of a list; empty if nothing is. */
export function moreHtml(count: number, what: string): string {
  return count > 0 ? `<p class="faint">and ${numberText(count)} ${what}</p>` : "";
}

/** Plain data as JSON for a `script` element: nothing in it can end the element. */
export function scriptJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
