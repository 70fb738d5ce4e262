import type { DrawLive } from "../commands/command.js";

/** A block of lines that is redrawn in place below all other output of a terminal. */
export interface LiveArea {
  /** Draws the area with `draw`, replacing the previous one. Undefined removes it; the next output begins a line. */
  show(draw: DrawLive | undefined): void;
  /** Runs `write`, which writes `text`, and redraws the area below it if the text ended with a line break. */
  around(text: string, write: () => void): void;
}

/** The terminal that a live area is drawn on. */
export interface LiveTerminal {
  write(text: string): void;
  size(): { readonly columns: number; readonly rows: number };
}

/**
 * Clears the cursor's line and everything below it, and returns the cursor. In two steps, because tmux moves the screen
 * into its history if it is cleared from the first row on.
 */
const CLEAR = "\r\x1b[K\x1b7\x1b[B\x1b[J\x1b8";
// Disables and enables line wrapping, so that long lines are cut at the edge, also while the size changes.
const WRAP_OFF = "\x1b[?7l";
const WRAP_ON = "\x1b[?7h";
/** Rows that the area cannot use: one for the cursor, and one to keep the terminal from scrolling. */
const ROWS_FREE = 2;

/**
 * Creates a live area. The cursor stays on an empty line above it, where typed text appears. To remove the area,
 * everything below the cursor is cleared. Rows are not counted, because some terminals rewrap lines when their size
 * changes, before the process is notified.
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
    const free = rows - ROWS_FREE;
    const lines = draw === undefined || free < 1 ? [] : draw({ columns, rows: free });
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
