// Generates docs/api.md from the exports of src/library.ts and their docstrings: npm run api. A test
// checks that the page is up to date.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const ENTRY = join(root, "src", "library.ts");
const PAGE = join(root, "docs", "api.md");

const INTRODUCTION = `# API

What the command does, for programs in TypeScript and JavaScript (ESM). [examples/recover.ts](../examples/recover.ts) is a whole program.

\`\`\`ts
import { connect, diagnose, observe, plan, recover } from "openmldb-ops";

const connection = await connect({ zkCluster: "127.0.0.1:2181", zkRootPath: "/openmldb" });
try {
  const unhealthy = diagnose(await observe(connection)).filter(({ problems }) => problems.length > 0);
  const planned = await plan(connection);
  const report = await recover(connection, { planned });
} finally {
  await connection.close();
}
\`\`\`

Nothing is printed, no signal is caught, and the process is never ended: that is the program's part. Only \`recover\`
changes the cluster. Offsets, terms and op ids are \`bigint\`; times are milliseconds. Everything that goes wrong is thrown
as an \`OpsError\` with a \`code\`; a partition that is not healthy is no error but a \`Problem\`.

This page is made from the docstrings of the source. What is not on it may change without notice.
`;

/** The text of docs/api.md. */
export function apiPage() {
  const declarations = exportsOf(ENTRY);
  const isType = ({ code }) => /^(interface|type)/.test(code);
  return [
    INTRODUCTION,
    "## Functions and classes\n",
    ...declarations.filter((one) => !isType(one)).map(section),
    "## Types\n",
    ...declarations.filter(isType).map(section),
  ].join("\n");
}

/** The exports of a file, re-exports included, sorted by name. */
function exportsOf(file) {
  const text = readFileSync(file, "utf8");
  const own = [...declarationsIn(text).values()];
  const others = [...text.matchAll(/^export (?:type )?\{([^}]*)\} from "(.*)";$/gm)].flatMap(
    ([, names = "", path = ""]) => {
      const source = join(dirname(file), path.replace(/\.js$/, ".ts"));
      const there = declarationsIn(readFileSync(source, "utf8"));
      return names.split(",").flatMap((name) => there.get(name.replace("type ", "").trim()) ?? []);
    },
  );
  return [...own, ...others].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * The exported declarations of a source, each with its docstring. Only they start in the first column.
 */
function declarationsIn(text) {
  const found = new Map();
  let docstring = "";
  for (const statement of text.split(/^(?=\/\*\*|\w)/m)) {
    const name = EXPORTED.exec(statement)?.[1];
    if (name !== undefined) found.set(name, { name, docstring, code: shown(statement.trim()) });
    docstring = statement.startsWith("/**") ? statement : "";
  }
  return found;
}

const EXPORTED = /^export (?:async )?(?:function|class|const|interface|type) (\w+)/;

/** The shown part of a declaration, without function bodies and constructors. */
function shown(code) {
  const signature = /^export (?:async )?(function [\s\S]*?[)>\w\]]) \{\n {2}/.exec(code)?.[1];
  if (signature !== undefined) return `${signature};`;
  return code.replace(/^export /, "").replace(/\n\n {2}constructor[\s\S]*/, "\n}");
}

function section({ name, docstring, code }) {
  return `### ${name}\n\n${proseOf(docstring)}\n\n\`\`\`ts\n${links(code)}\n\`\`\`\n`;
}

function proseOf(docstring) {
  const text = docstring
    .replace(/^\/\*\*\s?/, "")
    .replace(/\s*\*\/\s*$/, "")
    .replaceAll(/^ \* ?/gm, "");
  const [prose = "", ...tags] = text.split(/^@/m);
  const items = tags.map(
    (tag) =>
      `- ${tag
        .trim()
        .replace(/^(\w+)/, "*$1*")
        .replaceAll("\n", "\n  ")}`,
  );
  return links([prose.trim(), items.join("\n")].filter((part) => part !== "").join("\n\n"));
}

const links = (text) => text.replaceAll(/\{@link (\w+)\}/g, "`$1`");

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(PAGE, apiPage());
