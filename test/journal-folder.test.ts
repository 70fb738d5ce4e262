import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { openJournal } from "../src/journal/journal.js";
import { deleteOldJournals, journalPath, listRunIds } from "../src/journal/runs-folder.js";

const base = mkdtempSync(join(tmpdir(), "openmldb-ops-journals-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));

const newFolder = () => mkdtempSync(join(base, "state-"));

/** An id in the format of runs; ids sort by number. */
const idOf = (number: number) => `20260101T000000Z-${number.toString(16).padStart(8, "0")}`;

const OPTIONS = {
  command: "recoverdata",
  argv: ["recoverdata"],
  flags: {},
  cluster: { zkCluster: ["zk1:2181"], zkRootPath: "/openmldb" },
  isResuming: false,
  note: () => {},
  warn: () => {},
};

describe("old journals", () => {
  /** A folder as a run creates it, with that many journals of earlier runs. */
  async function folderWith(count: number) {
    const stateDir = newFolder();
    for (let i = 0; i < count; i += 1) {
      const journal = await openJournal({ ...OPTIONS, stateDir, id: idOf(i) });
      await journal.finish({ exitCode: 0 });
    }
    return stateDir;
  }

  test("the newest are kept", async () => {
    const stateDir = await folderWith(7);
    await deleteOldJournals(stateDir, 5);
    expect((await listRunIds(stateDir)).sort()).toEqual([2, 3, 4, 5, 6].map(idOf));
  });

  test("files that may not be journals stay: other names, other contents, links", async () => {
    const stateDir = await folderWith(3);
    const [target, runs] = [join(stateDir, "target"), join(stateDir, "runs")];
    writeFileSync(target, readFileSync(journalPath(stateDir, idOf(0)), "utf8"));
    unlinkSync(journalPath(stateDir, idOf(0)));
    symlinkSync(target, journalPath(stateDir, idOf(0)));
    writeFileSync(journalPath(stateDir, idOf(1)), "mine\n");
    writeFileSync(join(runs, "experiment.jsonl"), "mine\n");
    writeFileSync(join(runs, "20260101T000000Z-0000000.jsonl"), "mine\n");
    const before = readdirSync(runs).sort();
    await deleteOldJournals(stateDir, 1);
    expect(readdirSync(runs).sort()).toEqual(before);
  });

  test.each(["a folder that was there before", "a symbolic link"])(
    "nothing is deleted in %s",
    async (what) => {
      const [stateDir, other] = [newFolder(), await folderWith(4)];
      if (what === "a symbolic link") symlinkSync(join(other, "runs"), join(stateDir, "runs"));
      else cpSync(join(other, "runs"), join(stateDir, "runs"), { recursive: true });
      await deleteOldJournals(stateDir, 1);
      expect(await listRunIds(stateDir)).toHaveLength(4);
      expect(await listRunIds(other)).toHaveLength(4);
    },
  );
});
