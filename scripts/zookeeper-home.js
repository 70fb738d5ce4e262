import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** The message if {@link findZookeeperClasspath} finds nothing, on one line. */
export const ZOOKEEPER_MISSING =
  "no ZooKeeper to test against: install Debian's package (apt-get install zookeeper), or set " +
  "OPENMLDB_OPS_TEST_ZOOKEEPER to the folder with ZooKeeper's jars; Java is needed too";

const DEBIAN_JAR = "/usr/share/java/zookeeper.jar";

/**
 * Finds a real ZooKeeper for the tests.
 *
 * @returns {string | undefined} A Java class path: the jars in the folder of the environment variable
 *   OPENMLDB_OPS_TEST_ZOOKEEPER (or in its `lib`), else those of Debian's package; undefined if there
 *   are none, or no Java on the PATH.
 */
export function findZookeeperClasspath() {
  const onPath = (process.env.PATH ?? "").split(":");
  if (!onPath.some((folder) => existsSync(join(folder, "java")))) return undefined;
  const home = process.env.OPENMLDB_OPS_TEST_ZOOKEEPER;
  if (home) {
    const folder = [home, join(home, "lib")].find(holdsZookeeper);
    return folder && join(folder, "*");
  }
  return existsSync(DEBIAN_JAR) ? DEBIAN_JAR : undefined;
}

function holdsZookeeper(folder) {
  return (
    existsSync(folder) && readdirSync(folder).some((name) => /^zookeeper[-\d.]*\.jar$/.test(name))
  );
}
