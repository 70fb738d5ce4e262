import type { CommonFlags } from "../cli/common-specs.js";
import { MAX_ANSWER_BYTES } from "../cluster/answer-size.js";
import { shellWord } from "../util/text.js";

/**
 * A command of this tool as it is to be typed, with the connection flags of this run. Secrets are
 * left out: they come from the environment or from files.
 *
 * @param words Command and arguments, such as `["confset", "auto_failover", "true"]`.
 */
export function commandLine(words: readonly string[], flags: CommonFlags): string {
  const connection = [
    `--zk_cluster=${flags.zkCluster.join(",")}`,
    `--zk_root_path=${flags.zkRootPath}`,
    ...(flags.zkCert === undefined ? [] : [`--zk_auth_schema=${flags.zkAuthSchema}`]),
    ...(flags.user === undefined ? [] : [`--user=${flags.user}`]),
    ...(flags.maxAnswerBytes === MAX_ANSWER_BYTES
      ? []
      : [`--max_answer=${Math.round(flags.maxAnswerBytes / 1024)}K`]),
  ];
  return ["openmldb-ops", ...words, ...connection].map(shellWord).join(" ");
}
