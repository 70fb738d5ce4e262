/** The treatment of lines that no longer fit when a terminal is made narrower. */
export type Narrowing = "wraps" | "cuts";

/** A terminal that knows the control sequences of this tool: lines that wrap, a cursor, a screen of rows and the lines above it. */
export interface Terminal {
  write(text: string): void;
  resize(columns: number, rows: number): void;
  size(): { readonly columns: number; readonly rows: number };
  /**
   * The visible lines and those that have scrolled away, without spaces at ends of lines and empty
   * lines at the end.
   */
  text(): string[];
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are the subject.
const SEQUENCE = /\x1b\[\??\d*[A-Za-z]|\x1b[78]|[\s\S]/g;

/**
 * @param narrowing What the terminal does with long lines when it gets narrower: tmux and most others
 *   wrap them again, xterm cuts them.
 */
export function terminal(columns: number, rows: number, narrowing: Narrowing): Terminal {
  // Lines as they were written, up to a line break. One that is longer than the terminal is wide takes several rows.
  let lines: string[] = [""];
  let [line, column] = [0, 0];
  let saved = [0, 0];
  let isWrapping = true;
  const rowsOf = (text: string) => Math.max(1, Math.ceil(text.length / columns));
  /** The first line that is not completely above the screen. */
  const top = () => {
    let room = rows;
    for (let index = lines.length - 1; index >= 0; index -= 1) {
      room -= rowsOf(lines[index] ?? "");
      if (room < 0) return index + 1;
    }
    return 0;
  };
  const put = (char: string) => {
    const at = isWrapping ? column : Math.min(column, columns - 1);
    const before = (lines[line] ?? "").padEnd(at);
    lines[line] = before.slice(0, at) + char + before.slice(at + 1);
    column = at + 1;
  };
  const act: Readonly<Record<string, () => void>> = {
    "\r": () => {
      column = 0;
    },
    "\n": () => {
      line += 1;
      column = 0;
      lines[line] ??= "";
    },
    "\x1b[K": () => {
      lines[line] = (lines[line] ?? "").slice(0, column);
    },
    "\x1b[J": () => {
      lines = lines.slice(0, line + 1);
      lines[line] = (lines[line] ?? "").slice(0, column);
    },
    "\x1b[B": () => {
      line = Math.min(line + 1, lines.length - 1);
    },
    "\x1b7": () => {
      saved = [line, column];
    },
    "\x1b8": () => {
      [line = 0, column = 0] = saved;
      while (lines.length <= line) lines.push("");
    },
    "\x1b[?7l": () => {
      isWrapping = false;
    },
    "\x1b[?7h": () => {
      isWrapping = true;
    },
  };
  return {
    write(text) {
      for (const [part] of text.matchAll(SEQUENCE)) {
        const isUp = part.length > 1 && part.endsWith("A");
        if (isUp) line = Math.max(top(), line - Number(part.slice(2, -1)));
        else if (part in act) act[part]?.();
        else if (part.startsWith("\x1b")) throw new Error(`unknown: ${JSON.stringify(part)}`);
        else put(part);
      }
    },
    resize(nextColumns, nextRows) {
      [columns, rows] = [nextColumns, nextRows];
      if (narrowing === "cuts") lines = lines.map((one) => one.slice(0, columns));
    },
    size: () => ({ columns, rows }),
    text: () =>
      lines
        .map((one) => one.trimEnd())
        .join("\n")
        .trimEnd()
        .split("\n"),
  };
}
