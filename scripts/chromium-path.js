import { existsSync } from "node:fs";

/** What to do when {@link findChromium} finds nothing, on one line. */
export const CHROMIUM_MISSING =
  "no Chromium to look at reports with: install Debian's package (apt-get install chromium), or " +
  "set OPENMLDB_OPS_TEST_CHROMIUM to its program";

/**
 * Where a Chromium for the tests is.
 *
 * @returns {string | undefined} The path of the program: the one that the environment variable
 *   OPENMLDB_OPS_TEST_CHROMIUM names, else that of Debian's package; undefined if there is none.
 */
export function findChromium() {
  const path = process.env.OPENMLDB_OPS_TEST_CHROMIUM || "/usr/bin/chromium";
  return existsSync(path) ? path : undefined;
}
