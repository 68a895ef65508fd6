/** All commands, in the order of the work. */
import type { Command } from "../command.js";
import { inspectCommand } from "./inspect.js";
import { keygenCommand } from "./keygen.js";
import { packCommand } from "./pack.js";
import { rebuildCommand } from "./rebuild.js";
import { restoreCommand } from "./restore.js";
import { signCommand } from "./sign.js";
import { verifyCommand } from "./verify.js";

export const COMMANDS: readonly Command[] = [
  keygenCommand,
  packCommand,
  signCommand,
  verifyCommand,
  inspectCommand,
  restoreCommand,
  rebuildCommand,
];
