// Processes of the benchmark that send their result as one message.
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Starts a file of this folder with its arguments, and with flags of node. */
export function start(name, args, execArgv = []) {
  const path = fileURLToPath(new URL(name, import.meta.url));
  const stdio = ["ignore", "inherit", "inherit", "ipc"];
  return fork(path, [JSON.stringify(args)], { stdio, execArgv });
}

/**
 * Waits for the next message of a child.
 *
 * @throws Error if the child ends without a message, or sends none in time; it is then killed.
 */
export function messageOf(child, limitMs) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`no result within ${limitMs / 1000} s`));
    }, limitMs);
    const onExit = (code) => {
      clearTimeout(timer);
      reject(new Error(`the child ended with ${code} and no result`));
    };
    child.once("message", (value) => {
      clearTimeout(timer);
      child.off("exit", onExit);
      resolve(value);
    });
    child.once("exit", onExit);
  });
}
