import { type Shape, streamOf } from "./shape.js";

/** Names of databases and tables that a shell, a parser or a reader could misread. */
const HOSTILE: readonly (readonly [db: string, table: string])[] = [
  ["$(touch x)", "`id`"],
  ["a", "b.c"],
  ["a.b", "c"],
  ["", "a.b.c"],
  ["-rf", "--yes"],
  ["it's", 'a "b" c'],
  ["a b", "line\nbreak"],
  ["x,y:0", "lost=0..9"],
  ["*", "~"],
  ["\u202e", "表"],
  ["db1", "t1; rm"],
  ["`", "``"],
];

/** Gives three of four clusters hostile names. Names that can be confused with each other are used together. */
export function withHostileNames(shape: Shape): Shape {
  const random = streamOf(shape.seed, "names");
  if (random.chance(0.25)) return shape;
  const from = random.below(HOSTILE.length);
  const tables = shape.tables.map((one, index) => {
    const [db, table] = HOSTILE[(from + index) % HOSTILE.length] ?? ["", "t"];
    return { ...one, db, table };
  });
  return { ...shape, tables };
}
