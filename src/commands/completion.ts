import type { CompletionFlags } from "../cli/tool-specs.js";
import { EXIT } from "../exit-codes.js";
import type { CommandIo } from "./command.js";

/**
 * The completion function for bash, which zsh uses too through bashcompinit. The typed text is passed as an argument
 * and never evaluated.
 */
const FUNCTION = `_openmldb_ops() {
  local reply
  COMPREPLY=()
  while IFS= read -r reply; do
    if [[ -n $reply ]]; then COMPREPLY+=("$reply"); fi
  done <<< "$(command openmldb-ops __complete "\${COMP_LINE:0:$COMP_POINT}" "\${COMP_WORDBREAKS-}" 2> /dev/null)"
}
complete -o nospace -F _openmldb_ops openmldb-ops
`;

const SCRIPTS = {
  bash: `# Completes openmldb-ops in bash. Load it with: source <(openmldb-ops completion bash)
${FUNCTION}`,
  zsh: `# Completes openmldb-ops in zsh. Load it in ~/.zshrc with: source <(openmldb-ops completion zsh)
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
autoload -Uz bashcompinit && bashcompinit
${FUNCTION}`,
  fish: `# Completes openmldb-ops in fish. Load it with: openmldb-ops completion fish | source
complete -c openmldb-ops -f -a '(command openmldb-ops __complete (commandline -cp | string collect) "" fish 2> /dev/null)'
`,
};

/**
 * Prints the completion script of a shell.
 *
 * @returns 0.
 */
export async function run(flags: CompletionFlags, io: CommandIo): Promise<number> {
  io.stdout.write(SCRIPTS[flags.shell]);
  return EXIT.ok;
}
