import { tally } from "../model/counted.js";
import { safe } from "../util/text.js";
import { type PartitionRow, statusText } from "./document.js";
import { scriptJson } from "./html-text.js";

/** The greatest number of partitions with problems, evidence and advice in the page. */
const DETAILS_MAX = 300;

/**
 * The rows of the page's table as data for its script: each text once, rows as indexes, so that ten
 * thousand partitions fit.
 *
 * @returns JSON `{ texts, rows, details }`; a row is `[partition, status, leader, was, done, tookMs]`,
 *   all but the last as indexes of `texts`, `tookMs` -1 if nothing was done. `details` are indexes of
 *   lines, by row.
 */
export function tableJson(partitions: readonly PartitionRow[]): string {
  const texts: string[] = [];
  const known = new Map<string, number>();
  const index = (text: string): number => {
    const found = known.get(text);
    if (found !== undefined) return found;
    known.set(text, texts.length);
    texts.push(safe(text));
    return texts.length - 1;
  };
  const details: Record<number, number[]> = {};
  let detailed = 0;
  const rows = partitions.map((row, number) => {
    const lines = detailed < DETAILS_MAX ? detailLines(row) : [];
    if (lines.length > 0) {
      details[number] = lines.map(index);
      detailed += 1;
    }
    return [
      index(row.partition),
      index(statusText(row)),
      index(row.leader ?? "-"),
      index(problemsText(row) || row.was.join(", ")),
      index(row.done.join(", ") || "-"),
      row.tookMs ?? -1,
    ];
  });
  return scriptJson({ texts, rows, details });
}

function problemsText({ problems }: PartitionRow): string {
  return tally(problems.map(({ code }) => code));
}

function detailLines({ problems, failure, notes, evidence, next }: PartitionRow): string[] {
  return [
    ...problems.map(({ code, endpoint, text }) => `${endpoint ?? "partition"}: ${text} [${code}]`),
    ...(failure === null ? [] : [failure]),
    ...notes.map((note) => `note: ${note}`),
    ...evidence,
    ...(next === null ? [] : [`next: ${next}`]),
  ];
}
