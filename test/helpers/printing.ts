import { commandText, commandWords } from "../../src/cli/printed-command.js";
import type { PrintCommand } from "../../src/model/tool-command.js";
import { recoverAgain } from "../../src/model/tool-command.js";

/** Commands as they are printed, without connection flags. */
export const print: PrintCommand = (command) => commandText(commandWords(command));

/** The command that runs `recoverdata` again, without connection flags. */
export const again = recoverAgain({ cmd: "recoverdata" }, print);
