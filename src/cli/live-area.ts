import type { DrawLive } from "../commands/command.js";

/** Lines at the lower end of a terminal that are drawn anew in place, below all that is written. */
export interface LiveArea {
  /**
   * Draws the area from now on, in place of what was drawn before; undefined takes it away, and what is written
   * next begins a line.
   */
  show(draw: DrawLive | undefined): void;
  /** Runs what writes to the terminal, and draws the area again below it if it ended with a line break. */
  around(text: string, write: () => void): void;
}

/** The terminal that a live area is drawn on. */
export interface LiveTerminal {
  write(text: string): void;
  size(): { readonly columns: number; readonly rows: number };
}

/**
 * Clears the line of the cursor and all below, and goes back. Not in one: tmux moves all lines of a screen that is
 * cleared from its first row on into its history.
 */
const CLEAR = "\r\x1b[K\x1b7\x1b[B\x1b[J\x1b8";
/** Lines that are too long for the terminal end at its edge, while it changes its size too. */
const WRAP_OFF = "\x1b[?7l";
const WRAP_ON = "\x1b[?7h";
/** Rows that lines cannot use: one for the cursor, and one that keeps the terminal from scrolling. */
const ROWS_FREE = 2;

/**
 * The cursor rests on an empty line above the area. Taking it away is to clear what is below, however many rows
 * that has become: terminals wrap lines anew when they change their size, before the process is told, and some
 * do not, so that the rows of what was drawn cannot be counted. What is typed meanwhile stands on that empty line.
 */
export function createLiveArea(terminal: LiveTerminal): LiveArea {
  let draw: DrawLive | undefined;
  let isDrawn = false;
  let isAtStart = true;
  const cleared = (): string => {
    const text = isDrawn ? CLEAR : "";
    isDrawn = false;
    return text;
  };
  const drawn = (): string => {
    const { columns, rows } = terminal.size();
    const room = rows - ROWS_FREE;
    const lines = draw === undefined || room < 1 ? [] : draw({ columns, rows: room });
    if (lines.length === 0) return "";
    isDrawn = true;
    return `${WRAP_OFF}${lines.map((line) => `\n${line}`).join("")}\x1b[${lines.length}A\r${WRAP_ON}`;
  };
  return {
    show(next) {
      draw = next;
      if (next === undefined) isAtStart = true;
      else if (!isAtStart) return;
      const text = cleared() + drawn();
      if (text !== "") terminal.write(text);
    },
    around(text, write) {
      const before = cleared();
      if (before !== "") terminal.write(before);
      write();
      if (text !== "") isAtStart = text.endsWith("\n");
      const after = isAtStart ? drawn() : "";
      if (after !== "") terminal.write(after);
    },
  };
}
