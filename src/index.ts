/**
 * The library: the operations of the command line as functions that return data and print nothing. Nix's formats are
 * `nix-airgap/nix`.
 */
export {
  AirgapError,
  CODES,
  type Code,
  type Details,
  describe,
  EXIT,
  type ExitCode,
  exitOf,
  type Finding,
} from "./errors.js";
export type { Event, Report } from "./events.js";
export type {
  Approval,
  BundleDocument,
  BundleJoinReport,
  ErrorReport,
  InspectReport,
  KeygenReport,
  PackReport,
  PartsReport,
  RebuildReport,
  ReleaseChangeReport,
  ReleasesReport,
  RepairReport,
  RestoreReceipt,
  ServeReport,
  SignReport,
  Statement,
  VerifyReport,
} from "./generated/types.js";
export { VERSION } from "./generated/version.js";
export { formatPublicKey, type PublicKey, parseSecretKey, type SecretKey } from "./nix/signature.js";
export type { AuditSource } from "./ops/audit/check.js";
export { auditExport } from "./ops/audit/export.js";
export { auditVerify } from "./ops/audit/verify.js";
export { bundleJoin, type JoinOptions } from "./ops/bundle/join.js";
export { type JoinPartsOptions, joinParts } from "./ops/bundle/join-parts.js";
export { bundleSplit, type SplitOptions } from "./ops/bundle/split.js";
export type { Context } from "./ops/context.js";
export { readSiteFacts } from "./ops/doctor/site-facts.js";
export { type DoctorOptions, doctor } from "./ops/doctor.js";
export { type InspectOptions, inspect } from "./ops/inspect.js";
export { type KeygenOptions, keygen } from "./ops/keygen.js";
export type { LockTrust } from "./ops/lock-approval.js";
export { nodeContext } from "./ops/node-context.js";
export { type PackOptions, pack } from "./ops/pack.js";
export { type RebuildOptions, rebuild } from "./ops/rebuild.js";
export { type ListOptions, listReleases } from "./ops/releases/list.js";
export { type RemoveOptions, removeOneRelease } from "./ops/releases/remove.js";
export { type UseOptions, useRelease } from "./ops/releases/use.js";
export { type RepairOptions, repair } from "./ops/repair.js";
export { type RestoreOptions, restore } from "./ops/restore.js";
export { type ServeOptions, serve } from "./ops/serve.js";
export { type SignOptions, sign } from "./ops/sign.js";
export { openSite, readPolicy, type Site, type SitePlace } from "./ops/site.js";
export { authorizeRollback, type RollbackOptions } from "./ops/trust/authorize-rollback.js";
export { showPolicy } from "./ops/trust/card.js";
export { importKeyInit } from "./ops/trust/import-key.js";
export { type TrustInitOptions, trustInit } from "./ops/trust/init.js";
export { type TrustNewOptions, trustNew } from "./ops/trust/new.js";
export { trustResetClock } from "./ops/trust/reset-clock.js";
export { trustStatus } from "./ops/trust/status.js";
export { trustUpdate } from "./ops/trust/update.js";
export type { Trust } from "./ops/verify/trust.js";
export { type VerifyOptions, verify } from "./ops/verify.js";
export { verifyLock } from "./ops/verify-lock.js";
export { keyHash, parseVerificationKey, type VerificationKey } from "./trust/keys.js";
export { type Policy, parsePolicy } from "./trust/policy.js";
export { parseSigningKey, type SigningKey } from "./trust/signing.js";
