import { type Cell, type Column, table } from "../../util/table.js";
import { type Color, paint, safe } from "../../util/text.js";
import { wrapped } from "../../util/wrap.js";
import type { PartitionRows } from "../model/model-types.js";
import type { ConsoleAnswer, ShownServer } from "./console-answers.js";

/** The screen for answers, and the names of the servers. */
export interface ConsoleScreen {
  readonly hasColor: boolean;
  readonly columns: number;
  readonly rows: number;
  /** The servers, whose names are shown with their addresses. */
  readonly servers: readonly ShownServer[];
}

/** Lines of a screen that are reserved in addition to a table: its titles, its sum, the prompt. */
const AROUND = 4;
/** Number of complaints that are shown; the others are counted. */
const COMPLAINTS_SHOWN = 12;
/** Columns of a command and its arguments in the help; longer ones have a line of their own. */
const USAGE_WIDTH = 18;

const STATE_COLORS: Readonly<Record<ShownServer["state"], Color | undefined>> = {
  leads: "good",
  up: "good",
  "stands by": undefined,
  hangs: "bad",
  down: "bad",
  "of another cluster": "bad",
};

/** An answer of the console as text. */
export function answerText(answer: ConsoleAnswer, screen: ConsoleScreen): string {
  if ("error" in answer) {
    return `${paint(named(safe(answer.error), screen.servers), "bad", screen.hasColor)}\n`;
  }
  if ("servers" in answer) return serverTable(answer.servers, screen.hasColor);
  if ("commands" in answer) return helpText(answer.commands, screen.columns);
  if ("partitions" in answer) return rowsText(answer, screen);
  if ("complaints" in answer) return healthText(answer.complaints, screen);
  if ("accepted" in answer) return putText(answer, screen);
  return answer.name === undefined ? "done\n" : `${answer.name} started\n`;
}

/** A table of servers with their console names and addresses. */
export function serverTable(servers: readonly ShownServer[], hasColor: boolean): string {
  const hasNames = servers.some((one) => one.endpoint !== one.address);
  const columns: Column[] = [
    { title: "name" },
    ...(hasNames ? [{ title: "endpoint" }] : []),
    { title: "address" },
    { title: "state" },
    { title: "loaded", align: "right" },
    { title: "on disk", align: "right" },
  ];
  const rows = servers.map((one): Cell[] => {
    const color = STATE_COLORS[one.state];
    return [
      one.name,
      ...(hasNames ? [one.endpoint] : []),
      one.address,
      color === undefined ? one.state : { text: one.state, color },
      String(one.loaded ?? ""),
      String(one.stored ?? ""),
    ];
  });
  return table(columns, rows, hasColor);
}

/** The servers whose state has changed, new ones included. */
export function changedServers(
  before: readonly ShownServer[],
  now: readonly ShownServer[],
): ShownServer[] {
  const known = new Set(before.map((one) => JSON.stringify(one)));
  return now.filter((one) => !known.has(JSON.stringify(one)));
}

/** Adds console names to the endpoints in a text: `127.0.0.1:12594 (tablet1)`. */
function named(text: string, servers: readonly ShownServer[]): string {
  const names = new Map(servers.map(({ endpoint, name }) => [endpoint, name]));
  return text
    .split(" ")
    .map((word) => (names.has(word) ? `${word} (${names.get(word)})` : word))
    .join(" ");
}

function helpText(commands: readonly string[], columns: number): string {
  const lines = commands.flatMap((line) => {
    const end = line.indexOf(": ");
    const name = line.slice(0, end).padEnd(USAGE_WIDTH);
    const isLong = name.length > USAGE_WIDTH;
    const rest = " ".repeat(USAGE_WIDTH + 2);
    const first = isLong ? rest : `${name}  `;
    const help = wrapped(line.slice(end + 2), { first, rest }, { columns: columns - 1 });
    return isLong ? [name, ...help] : help;
  });
  return `${lines.join("\n")}\n`;
}

/** Each partition if all fit the screen, else the sums of each table. */
function rowsText(
  answer: Extract<ConsoleAnswer, { partitions: unknown }>,
  { hasColor, rows: height, servers }: ConsoleScreen,
): string {
  const { partitions, acknowledged, served, lost } = answer;
  const names = new Map(servers.map(({ endpoint, name }) => [endpoint, name]));
  const leaderOf = ({ leader }: PartitionRows) =>
    leader === undefined ? "" : `${leader} (${names.get(leader) ?? ""})`;
  const lines =
    partitions.length <= height - AROUND
      ? partitions.map((one) => ({
          ...{ what: `${one.db}.${one.table}:${one.pid}`, leader: leaderOf(one) },
          ...{ acknowledged: one.acknowledged, served: one.served ?? 0, lost: one.lost },
        }))
      : tableSums(partitions);
  const columns: Column[] = [
    { title: "partition" },
    { title: "serving leader" },
    { title: "acknowledged", align: "right" },
    { title: "served", align: "right" },
    { title: "lost", align: "right" },
  ];
  const cells = lines.map((line): Cell[] => [
    line.what,
    line.leader === "" ? { text: "none", color: "bad" } : line.leader,
    String(line.acknowledged),
    line.served < line.acknowledged
      ? { text: String(line.served), color: "bad" }
      : String(line.served),
    line.lost > 0 ? { text: String(line.lost), color: "bad" } : String(line.lost),
  ]);
  const sum = `${acknowledged} rows were acknowledged, ${served} can be read, ${lost} are lost`;
  return `${table(columns, cells, hasColor)}${sum}\n`;
}

interface RowsLine {
  readonly what: string;
  readonly leader: string;
  readonly acknowledged: number;
  readonly served: number;
  readonly lost: number;
}

function tableSums(partitions: readonly PartitionRows[]): RowsLine[] {
  const tables = [...new Set(partitions.map(({ db, table: name }) => `${db}.${name}`))];
  return tables.map((name) => {
    const all = partitions.filter((one) => `${one.db}.${one.table}` === name);
    const sum = (count: (one: PartitionRows) => number) =>
      all.reduce((total, one) => total + count(one), 0);
    const led = all.filter((one) => one.leader !== undefined).length;
    return {
      what: name,
      leader: led === 0 ? "" : `of ${led} of ${all.length} partitions`,
      acknowledged: sum((one) => one.acknowledged),
      served: sum((one) => one.served ?? 0),
      lost: sum((one) => one.lost),
    };
  });
}

function healthText(complaints: readonly string[], screen: ConsoleScreen): string {
  if (complaints.length === 0)
    return `${paint("everything is healthy", "good", screen.hasColor)}\n`;
  const lines = complaints.slice(0, COMPLAINTS_SHOWN).map((one) => named(one, screen.servers));
  const more = complaints.length - lines.length;
  if (more > 0) lines.push(`and ${more} more`);
  return `${lines.join("\n")}\n`;
}

function putText(
  { accepted, refused }: Extract<ConsoleAnswer, { accepted: number }>,
  { hasColor }: ConsoleScreen,
): string {
  const [first] = refused;
  const lines = [`${accepted} rows were accepted`];
  if (first !== undefined) {
    const where = `${first.db}.${first.table}:${first.pid}`;
    const more = refused.length > 1 ? ` and ${refused.length - 1} more partitions` : "";
    const why = safe(first.refused ?? "");
    lines.push(paint(`refused by ${where}${more}: ${why}`, "bad", hasColor));
  }
  return `${lines.join("\n")}\n`;
}
