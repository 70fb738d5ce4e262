import { existsSync } from "node:fs";

/** The message if {@link findChromium} finds nothing, on one line. */
export const CHROMIUM_MISSING =
  "no Chromium to look at reports with: install Debian's package (apt-get install chromium), or " +
  "set OPENMLDB_OPS_TEST_CHROMIUM to its program";

/**
 * Finds a Chromium for the tests.
 *
 * @returns {string | undefined} The path of the program: that of the environment variable
 *   OPENMLDB_OPS_TEST_CHROMIUM, else that of Debian's package; undefined if there is none.
 */
export function findChromium() {
  const path = process.env.OPENMLDB_OPS_TEST_CHROMIUM || "/usr/bin/chromium";
  return existsSync(path) ? path : undefined;
}
