/** All commands, in the order of the work. */
import type { Command } from "../command.js";
import { auditExportCommand } from "./audit-export.js";
import { auditVerifyCommand } from "./audit-verify.js";
import { bundleJoinCommand } from "./bundle-join.js";
import { bundleJoinPartsCommand } from "./bundle-join-parts.js";
import { bundleSplitCommand } from "./bundle-split.js";
import { doctorCommand } from "./doctor.js";
import { inspectCommand } from "./inspect.js";
import { keygenCommand } from "./keygen.js";
import { packCommand } from "./pack.js";
import { rebuildCommand } from "./rebuild.js";
import { releasesListCommand } from "./releases-list.js";
import { releasesRemoveCommand } from "./releases-remove.js";
import { releasesUseCommand } from "./releases-use.js";
import { repairCommand } from "./repair.js";
import { restoreCommand } from "./restore.js";
import { serveCommand } from "./serve.js";
import { signCommand } from "./sign.js";
import { trustAuthorizeRollbackCommand } from "./trust-authorize-rollback.js";
import { trustImportKeyCommand } from "./trust-import-key.js";
import { trustInitCommand } from "./trust-init.js";
import { trustInstallCommand } from "./trust-install.js";
import { trustNewCommand } from "./trust-new.js";
import { trustResetClockCommand } from "./trust-reset-clock.js";
import { trustShowCommand } from "./trust-show.js";
import { trustStatusCommand } from "./trust-status.js";
import { trustUpdateCommand } from "./trust-update.js";
import { verifyCommand } from "./verify.js";

export const COMMANDS: readonly Command[] = [
  keygenCommand,
  packCommand,
  signCommand,
  verifyCommand,
  inspectCommand,
  restoreCommand,
  rebuildCommand,
  bundleJoinCommand,
  releasesListCommand,
  releasesUseCommand,
  releasesRemoveCommand,
  serveCommand,
  repairCommand,
  bundleSplitCommand,
  bundleJoinPartsCommand,
  trustNewCommand,
  trustInitCommand,
  trustShowCommand,
  trustStatusCommand,
  trustUpdateCommand,
  trustAuthorizeRollbackCommand,
  trustResetClockCommand,
  trustImportKeyCommand,
  trustInstallCommand,
  auditVerifyCommand,
  auditExportCommand,
  doctorCommand,
];
