/**
 * Every code this program can answer with, what it means, and the exit code it leads to.
 *
 * A *finding* is data: the answer is no. A thrown `AirgapError` means that the question could not be
 * answered, or, inside a parser, that the input was refused; verify turns those into findings. Anything
 * else that is thrown is a bug (exit 70).
 */

/** Process exit codes (docs/format.md, "Exit codes"). */
export const EXIT = {
  yes: 0,
  differ: 1,
  usage: 2,
  malformed: 10,
  integrity: 11,
  trust: 12,
  incomplete: 13,
  nix: 20,
  transport: 21,
  disk: 22,
  bug: 70,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** What a code means (`explain`) and what its reader should do (`advice`); one line each. */
export interface CodeInfo {
  readonly exit: ExitCode;
  readonly explain: string;
  readonly advice: string;
}

const code = (exit: ExitCode, explain: string, advice: string): CodeInfo => ({ exit, explain, advice });
const { usage, malformed, integrity, trust, incomplete, nix, transport, disk, interrupted, differ } = EXIT;

/** For what happens to a copy. */
const COPY_AGAIN =
  "This copy was damaged or changed: get the bundle again from its source and verify that; if this stays, tell whoever sent it.";
/** For what the document itself says, so that every copy of the bundle is like this one. */
const TELL_MAKER =
  "Do not use this bundle. Another copy will not help, since its document says so: tell whoever signed it.";

/** For a site's own record: nothing else tells what stood there. */
const COMPARE_RECORD =
  "Compare the log with an earlier export or a backup, and find out who can write to the state folder; until then rely on no entry from this line on.";

const TAIL_AGAIN =
  "The copy was cut short, or a signature was interrupted: copy it again, or run `sign` again.";

/**
 * The closed registry of codes. Sorted by area; add a line here before throwing or reporting a new code.
 * Kept in one place so that docs/findings.md and the program cannot differ.
 */
export const CODES = {
  // nix/: formats
  BASE32_INVALID: code(malformed, "text is not Nix base32", TELL_MAKER),
  HASH_INVALID: code(malformed, "text is not a hash in the expected form", TELL_MAKER),
  STORE_PATH_INVALID: code(malformed, "text is not a store path", TELL_MAKER),
  NARINFO_INVALID: code(malformed, "a narinfo breaks the grammar", TELL_MAKER),
  CONTENT_ADDRESS_INVALID: code(
    malformed,
    "text is not a content address, or has references that its kind cannot have",
    TELL_MAKER,
  ),
  SIGNATURE_INVALID: code(malformed, "a signature is not in its form", TELL_MAKER),
  CLOSURE_CYCLE: code(malformed, "store paths reference each other in a circle", TELL_MAKER),
  DERIVATION_INVALID: code(malformed, "a .drv file breaks the derivation grammar", TELL_MAKER),
  FLAKE_LOCK_INVALID: code(
    malformed,
    "flake.lock breaks its grammar",
    "Run `nix flake lock` with a supported Nix and pack again.",
  ),
  NAR_MAGIC: code(malformed, "the stream does not begin as a NAR", TELL_MAKER),
  NAR_TRUNCATED: code(malformed, "a NAR ends before it is complete", TELL_MAKER),
  NAR_TRAILING: code(malformed, "bytes follow the end of a NAR", TELL_MAKER),
  NAR_PADDING: code(malformed, "padding in a NAR is not zero", TELL_MAKER),
  NAR_FIELD: code(malformed, "a NAR holds another field than the grammar has here", TELL_MAKER),
  NAR_ENTRY_NAME: code(malformed, "a directory entry in a NAR has an illegal name", TELL_MAKER),
  NAR_ENTRY_ORDER: code(malformed, "directory entries in a NAR are not sorted", TELL_MAKER),
  NAR_ENTRY_DUPLICATE: code(malformed, "a directory in a NAR names an entry twice", TELL_MAKER),
  NAR_SYMLINK_TARGET: code(malformed, "a symlink in a NAR has an illegal target", TELL_MAKER),
  NAR_DEPTH: code(malformed, "a NAR is nested deeper than is allowed", TELL_MAKER),
  NAR_LIMIT: code(malformed, "a length in a NAR is over its limit", TELL_MAKER),
  DERIVATION_UNSUPPORTED: code(
    malformed,
    "a derivation is of a kind that is not supported",
    "Remove the content-addressed, impure or dynamic derivation from the flake; bundles carry input-addressed and fixed-output ones only.",
  ),
  DERIVATION_CYCLE: code(malformed, "derivations depend on each other in a circle", TELL_MAKER),
  KEY_INVALID: code(
    usage,
    "a key is not in a form that is understood",
    "Give `name:base64` as Nix prints it, or a file that holds it.",
  ),

  // V1: opening a bundle
  BUNDLE_NOT_FOUND: code(usage, "there is no bundle here", "Give the bundle's directory or its .tar file."),
  NAME_ILLEGAL: code(
    malformed,
    "a name that no bundle has",
    "Take it away; where an operating system left it on the medium, verify takes --allow-extra.",
  ),
  FILE_TYPE: code(malformed, "not a regular file", COPY_AGAIN),
  FILE_TOO_LARGE: code(malformed, "a file is larger than the format allows", COPY_AGAIN),
  TOO_MANY_FILES: code(malformed, "more files than the format allows", COPY_AGAIN),
  TAR_HEADER: code(
    malformed,
    "a tar header is not the one this format writes",
    "Only tars made by nix-airgap are read; unpack a foreign tar and verify the directory.",
  ),
  TAR_PADDING: code(malformed, "a tar member is not padded with zeros", COPY_AGAIN),
  TAR_END: code(malformed, "the tar does not end with exactly two zero blocks", TAIL_AGAIN),
  TAR_DUPLICATE: code(malformed, "a tar member occurs twice", COPY_AGAIN),
  TAR_TRUNCATED: code(malformed, "the tar ends too early", TAIL_AGAIN),
  TAR_ORDER: code(malformed, "tar members are not in the order of the format", COPY_AGAIN),
  TAIL_INVALID: code(
    malformed,
    "the file that an interrupted signature left beside a tar does not belong to this tar",
    "If the tar is another one than was being signed, remove the file NAME.tar.tail, then sign again.",
  ),

  PARTS_AMBIGUOUS: code(
    usage,
    "this folder holds the parts of several bundles",
    "Name the one that you mean: its index, NAME.tar.parts.json.",
  ),
  PARTS_INDEX_MISSING: code(
    incomplete,
    "the index of these parts is missing",
    "It lies on every medium beside the parts, as NAME.tar.parts.json: copy it here, or give a folder that has it (--parts). Without it: cat NAME.tar.001 NAME.tar.002 … > NAME.tar.",
  ),
  PARTS_INDEX_INVALID: code(
    malformed,
    "the index of a bundle's parts is not in its form",
    "Take the one of another of its media; or join the parts: cat NAME.tar.001 NAME.tar.002 … > NAME.tar, and verify that.",
  ),
  PARTS_FOREIGN: code(
    integrity,
    "these parts belong to another bundle",
    "Take its medium out, and insert the one of the bundle that is wanted.",
  ),
  PART_MISSING: code(
    incomplete,
    "a part of the bundle is missing",
    "Insert the medium that holds this part, and give its folder as well: --parts FOLDER.",
  ),
  PART_SIZE: code(
    integrity,
    "a part of the bundle has the wrong size",
    "Copy this part again from its source, or insert the medium that holds a whole one.",
  ),
  PART_HASH: code(
    integrity,
    "a part of the bundle was damaged, changed or exchanged",
    "Copy this part again from its source, or insert the medium that holds a good one. With another copy of the bundle: nix-airgap repair.",
  ),
  MEDIA_DIFFER: code(
    usage,
    "these are no copies of one bundle",
    "Give copies of the very same bundle: the same product, release and bundle id.",
  ),
  PARTS_SIGN: code(
    usage,
    "parts are not signed where they lie: their media may be written already",
    "Sign the whole: join the parts (bundle join-parts), sign the tar, split it again (bundle split). Nothing was changed.",
  ),

  // V2: approvals
  DOCUMENT_MISSING: code(incomplete, "bundle.json is missing", COPY_AGAIN),
  KEY_REQUIRED: code(
    trust,
    "no trusted key was given",
    "Give --public-key with the packer's key, or --integrity-only to leave origin unproven.",
  ),
  APPROVAL_MISSING: code(
    trust,
    "nobody has signed this",
    "If it was signed once, its approvals were taken away: get it again. Else have it signed: nix-airgap sign.",
  ),
  APPROVAL_UNTRUSTED: code(
    trust,
    "no trusted key signed this",
    "Compare the key you trust with the signer's; ask the release manager.",
  ),
  APPROVAL_SIGNATURE: code(trust, "an approval's signature does not hold", COPY_AGAIN),
  APPROVAL_MALFORMED: code(trust, "an approval is not in the form of the format", COPY_AGAIN),
  APPROVAL_SUBJECT: code(trust, "an approval is for another document", COPY_AGAIN),
  APPROVAL_BINDING: code(
    trust,
    "an approval names another product, release, sequence or variant than the document",
    TELL_MAKER,
  ),
  APPROVAL_NAME: code(trust, "an approval's file name does not fit its role and key", COPY_AGAIN),
  APPROVAL_REJECTED: code(
    trust,
    "somebody who may approve it has rejected this",
    "Do not use it. Ask the person named for their reasons.",
  ),
  APPROVAL_THRESHOLD: code(
    trust,
    "fewer people approved this in that role than the policy asks for",
    "Have it approved by those who are missing: nix-airgap sign. What is wrong with approvals that do not count is said beside this.",
  ),
  APPROVAL_REVOKED: code(
    trust,
    "an approval does not count: its key is revoked",
    "Have it approved anew, by somebody whose key holds.",
  ),
  APPROVAL_ROLE: code(
    trust,
    "an approval does not count: the policy does not give this key that role",
    "Have it approved by somebody who holds the role, or have the policy changed.",
  ),
  APPROVAL_TIME: code(
    trust,
    "an approval does not count: it was signed when its key was not valid",
    "Have it approved anew with a key that is valid.",
  ),
  APPROVAL_PRESENCE: code(
    trust,
    "an approval does not count: the role asks that a FIDO key was touched, or its PIN entered",
    "Sign again with the FIDO key: ssh-keygen made with -O verify-required asks for the PIN.",
  ),
  APPROVAL_SIGNER: code(
    trust,
    "an approval does not count: it names another signer than the policy has for its key",
    "Sign again as the person that the policy names, with --policy or --signer.",
  ),
  PRODUCT_UNKNOWN: code(
    trust,
    "the policy does not know this product",
    "This bundle is not for this site. If it should be, have the policy changed.",
  ),
  BUNDLE_WITHDRAWN: code(
    trust,
    "the policy withdraws this very bundle",
    "Do not use it: the reason is beside this. Ask for the release that replaces it.",
  ),
  DOCUMENT_REQUIRED: code(
    trust,
    "the bundle lacks a document that the policy asks for",
    "Ask the release manager for a bundle with it.",
  ),
  POLICY_LIMIT: code(
    trust,
    "the bundle is larger than the policy allows",
    "If it should be so large, have the policy's limits changed.",
  ),

  // V4: the site's memory
  ROLLBACK: code(
    trust,
    "this release is older than one that this site has taken",
    "If the older one is wanted, have it authorized: nix-airgap trust authorize-rollback, then --rollback FILE.",
  ),
  ROLLBACK_REFUSED: code(
    trust,
    "a rollback authorization does not let this site go back to this bundle",
    "Ask for one that is for this bundle, this site's sequence and this time.",
  ),
  EQUIVOCATION: code(
    trust,
    "this site has taken another bundle with the same product, sequence and variant",
    "One of the two is not what it says. Take neither further, and tell whoever signed them.",
  ),
  SEQUENCE_MINIMUM: code(trust, "this release is older than the policy allows", "Ask for a newer release."),
  BUNDLE_EXPIRED: code(
    trust,
    "this release is older in days than the policy allows",
    "Ask for a newer release; signatures and hashes are told as they are. To take it all the same: --accept-expired REASON, which is recorded.",
  ),
  BUNDLE_FUTURE: code(
    trust,
    "this release says that it was made at a time to come, so that it would never be too old",
    "Compare this machine's clock. If it is right, ask whoever packed the bundle; to take it all the same: --accept-expired REASON.",
  ),
  POLICY_EXPIRED: code(
    trust,
    "the site's policy has expired",
    "Ask the policy's signers for the next version: nix-airgap trust update. To go on all the same: --accept-expired REASON, which is recorded.",
  ),
  CLOCK_BEHIND: code(
    trust,
    "this machine's clock is behind a time that it has seen before",
    "Set the clock. If it was ahead by mistake before: nix-airgap trust reset-clock --reason TEXT.",
  ),

  // the site itself
  POLICY_MISSING: code(
    trust,
    "there is no policy here",
    "Pin one: nix-airgap trust init POLICY --sha256 HASH.",
  ),
  POLICY_INVALID: code(
    usage,
    "the policy is not in its form",
    "See docs/policy.md and schemas/policy.schema.json.",
  ),
  POLICY_HASH: code(
    trust,
    "the policy is not the one that was pinned",
    "Somebody changed or exchanged the file. Compare it with the card on paper; policies change by nix-airgap trust update alone.",
  ),
  POLICY_CHAIN: code(
    trust,
    "this policy does not follow the one that the site has",
    "Give the policies in between, in their order.",
  ),
  STATE_MISSING: code(
    trust,
    "this machine has no memory of what it took, so that nobody can tell whether this is a step back",
    "On a site: nix-airgap trust init. Elsewhere, to audit: verify --no-state, which says that it was not asked.",
  ),
  STATE_INVALID: code(
    trust,
    "the site's state is not in its form",
    "Somebody changed it, or the disk lost it. Restore it from a backup, and compare with nix-airgap audit verify.",
  ),
  STATE_EXISTS: code(
    usage,
    "this site has a policy and a state already",
    "To change its policy: nix-airgap trust update. Nothing was changed.",
  ),

  IMPORT_KEY_MISSING: code(
    usage,
    "this site keeps no import key",
    "Make it first: nix-airgap trust import-key init.",
  ),

  // signing
  PREPARED_INVALID: code(
    usage,
    "the file does not hold what --prepare wrote",
    "Give the file that --prepare wrote, unchanged, and the signature over exactly its bytes.",
  ),
  ATTACH_REFUSED: code(
    trust,
    "the signature does not fit: it would never count",
    "Sign exactly the bytes that --prepare wrote, with the key that you named; then attach again. Nothing was changed.",
  ),
  NOT_CONFIRMED: code(
    usage,
    "nobody has confirmed the signature",
    "Read what is shown, then answer yes; in a script give --yes. Nothing was changed.",
  ),
  SSH_KEYGEN: code(
    usage,
    "ssh-keygen did not sign",
    "Read its words; try: ssh-keygen -Y sign -n nix-airgap -f KEY FILE.",
  ),
  LOCK_NOT_APPROVED: code(
    trust,
    "flake.lock is not approved as --require-approved-lock asks",
    "Have it approved: nix-airgap sign flake.lock, and commit flake.lock.approvals/ beside it.",
  ),

  // V3: the document
  JSON_INVALID: code(malformed, "not the strict JSON that is expected", TELL_MAKER),
  JSON_NOT_CANONICAL: code(malformed, "JSON in another encoding than the format's one", TELL_MAKER),
  DOCUMENT_SCHEMA: code(malformed, "the document does not fit its schema", TELL_MAKER),
  VERSION_UNSUPPORTED: code(
    malformed,
    "the bundle's format version is newer than this program",
    "Use a newer nix-airgap.",
  ),
  FEATURE_UNSUPPORTED: code(
    malformed,
    "the bundle uses a feature that this program does not know",
    "Use a newer nix-airgap.",
  ),
  REQUIRES_UNSUPPORTED: code(
    malformed,
    "the bundle builds on other bundles, which this version cannot read",
    "Use a newer nix-airgap.",
  ),
  DOCUMENT_ORDER: code(malformed, "a list in the document is not sorted", TELL_MAKER),
  DOCUMENT_DUPLICATE: code(malformed, "a list in the document names something twice", TELL_MAKER),
  DOCUMENT_TOTALS: code(malformed, "the document's totals do not add up", TELL_MAKER),
  DOCUMENT_VALUE: code(malformed, "a value in the document contradicts another", TELL_MAKER),

  // V5: derived files
  DERIVED_MISSING: code(incomplete, "a file that the document gives is missing", COPY_AGAIN),
  DERIVED_DIFFERS: code(integrity, "a file differs from what the document gives", COPY_AGAIN),
  INDEX_MANIFEST: code(
    integrity,
    "index.json does not name the manifest that document and approvals give",
    "If an OCI tool or a new approval rewrote it, run `sign` again; else get the bundle again.",
  ),

  // V6: closure
  REFERENCE_MISSING: code(incomplete, "a store path refers to one that is not in the bundle", TELL_MAKER),
  INPUT_MISSING: code(incomplete, "an input of flake.lock is not in the bundle", TELL_MAKER),
  INPUT_UNLISTED: code(integrity, "an input is listed that flake.lock does not have", TELL_MAKER),
  DERIVATION_MISSING: code(
    incomplete,
    "a derivation that the tier promises is not in the bundle",
    TELL_MAKER,
  ),
  TIER_INCOMPLETE: code(incomplete, "a path that the tier promises is not in the bundle", TELL_MAKER),
  PATH_UNNEEDED: code(integrity, "no root needs this path", TELL_MAKER),
  PATH_KINDS: code(integrity, "a path's kinds are not those that follow from the roots", TELL_MAKER),
  EVALUATION_UNEXPLAINED: code(
    integrity,
    "an evaluation extra is neither content-addressed nor the output of a packed derivation",
    TELL_MAKER,
  ),

  // V7: names follow from contents
  CA_PATH: code(integrity, "the store path is not the one its content address gives", TELL_MAKER),
  CA_CONTENT: code(integrity, "the content does not have the hash its content address says", TELL_MAKER),
  DRV_PATH: code(integrity, "a derivation's path is not the one its bytes give", TELL_MAKER),
  DRV_REFERENCES: code(integrity, "a derivation's references are not its inputs", TELL_MAKER),
  OUTPUT_PATH: code(integrity, "an output path is not the one its derivation gives", TELL_MAKER),
  OUTPUT_UNPROVEN: code(
    integrity,
    "a path is neither content-addressed nor the output of a packed derivation",
    TELL_MAKER,
  ),
  FIXED_OUTPUT_HASH: code(integrity, "a fixed output does not have the hash its derivation says", TELL_MAKER),
  ROOT_OUTPUTS: code(integrity, "a root's outputs or system are not those of its derivation", TELL_MAKER),
  DERIVER_OUTPUT: code(integrity, "a path's deriver does not have it as an output", TELL_MAKER),
  INPUT_NAR_HASH: code(integrity, "an input is not the one flake.lock pins", TELL_MAKER),
  FLAKE_NAR_HASH: code(integrity, "the top flake is not the one the document pins", TELL_MAKER),
  LOCK_DIFFERS: code(integrity, "flake.lock in the top flake is not the text in the document", TELL_MAKER),
  WRAPPER_DIFFERS: code(integrity, "the wrapper flake is not the one the document gives", TELL_MAKER),
  PATH_SIGNATURE: code(trust, "a signature on a store path by a key you gave does not hold", TELL_MAKER),

  // V8: blobs
  BLOB_MISSING: code(incomplete, "a blob is missing", COPY_AGAIN),
  BLOB_SIZE: code(integrity, "a blob has the wrong size", COPY_AGAIN),
  BLOB_HASH: code(integrity, "a blob has the wrong SHA-256", COPY_AGAIN),
  ZSTD_INVALID: code(integrity, "a blob is not one valid zstd frame", TELL_MAKER),
  ZSTD_WINDOW: code(integrity, "a zstd frame wants a window over 128 MiB, or a dictionary", TELL_MAKER),
  ZSTD_TRAILING: code(integrity, "bytes follow the zstd frame", TELL_MAKER),
  NAR_SIZE: code(integrity, "a NAR has the wrong size", TELL_MAKER),
  NAR_HASH: code(integrity, "a NAR has the wrong hash", TELL_MAKER),

  // V10, V11
  REFERENCE_UNDECLARED: code(
    integrity,
    "an output holds a store path that it does not declare as a reference",
    TELL_MAKER,
  ),
  REFERENCE_NOT_FOUND: code(
    integrity,
    "an output declares a reference that its bytes do not hold",
    TELL_MAKER,
  ),
  FILE_UNLISTED: code(
    integrity,
    "a file that the bundle does not list",
    "Nothing that was approved names it: take it away, and ask where it came from.",
  ),

  // pack: what a flake must be
  PROJECT_FILE: code(
    usage,
    "nix-airgap.json is not in its form",
    "See the example in the README, and schemas/project-file.schema.json.",
  ),
  FLAKE_UNREADABLE: code(
    usage,
    "Nix cannot read this flake",
    "Read Nix's words; a folder is written ./FOLDER, since a bare name is one of the registry.",
  ),
  LOCK_STALE: code(
    usage,
    "flake.lock does not fit flake.nix",
    "Run `nix flake lock`, commit flake.lock, and pack again.",
  ),
  LOCK_NAR_HASH: code(
    usage,
    "flake.lock has no narHash for this input, so that evaluation would ask the network",
    "Lock it again with a newer Nix: nix flake lock --update-input NAME.",
  ),
  SECRET_FOUND: code(
    usage,
    "a file that looks like a secret would travel with the bundle, where everybody can read it",
    "Take it out of the flake, and change the secret. If it is none: --allow-secret NAME, or allowSecrets in nix-airgap.json.",
  ),
  BUNDLE_TOO_LARGE: code(
    usage,
    "the bundle is larger than --max-size allows; nothing of it was kept",
    "Pack fewer roots or a lower tier, compress more (--compression-level 19), or give a larger --max-size; --dry-run without it shows what takes the room.",
  ),
  TREE_DIRTY: code(
    usage,
    "the git tree has uncommitted changes, so that nobody could make this bundle again",
    "Commit or stash them.",
  ),
  ATTR_MISSING: code(
    usage,
    "the flake has no such output",
    "Name one that it has: nix-airgap pack REF#ATTR.",
  ),
  ATTR_UNSUPPORTED: code(
    usage,
    "an output that no bundle can carry",
    "Leave it out: --all takes --except ATTR.",
  ),
  EVALUATION_FAILED: code(
    usage,
    "the flake does not evaluate",
    "Read Nix's words; try: nix eval REF#ATTR.drvPath.",
  ),
  EVALUATION_IMPURE: code(
    usage,
    "the flake reads its surroundings while it evaluates",
    "Make it pure: no currentSystem, no paths outside of its tree; variables that belong to the product can be named: --env NAME=VALUE.",
  ),
  EVALUATION_FETCHES: code(
    usage,
    "the flake fetches while it evaluates, in a way that cannot be done offline",
    "Make it an input of the flake, or use fetchTarball or fetchurl with a sha256 (not fetchGit, not fetchTree).",
  ),
  EVALUATION_DIFFERS: code(
    usage,
    "a site would evaluate this to another derivation",
    "Look for what depends on where flake or store lie; on Nix 2.8 readFile and pathExists of a built path do.",
  ),
  EXPECT_DIFFERS: code(
    differ,
    "this is not the output that was expected",
    "Nothing was written. What was tested may have been evaluated with variables (name them: --env NAME=VALUE), from another revision, or by another Nix.",
  ),
  DERIVATION_FLOATING: code(
    usage,
    "a content-addressed, impure or dynamic derivation, which a bundle cannot carry",
    "Take __contentAddressed, __impure or the text output out of it.",
  ),
  SOURCE_UNAVAILABLE: code(
    incomplete,
    "a source can no longer be had",
    "Find a copy, add it to the store (nix-store --add-fixed, nix-prefetch-url), and pack again.",
  ),
  SYSTEM_UNAVAILABLE: code(
    incomplete,
    "this machine can neither build nor fetch for this system",
    "Pack the release on a machine of that system with --system, and merge: nix-airgap bundle join. Or give Nix a builder (builders, extra-platforms in nix.conf).",
  ),
  BUILD_FAILED: code(nix, "a build failed", "Read Nix's words; build it with nix build first."),

  // the audit log
  AUDIT_ENTRY: code(integrity, "an entry of the audit log was altered, or is none", COMPARE_RECORD),
  AUDIT_CHAIN: code(
    integrity,
    "entries of the audit log were deleted, inserted or put in another order",
    COMPARE_RECORD,
  ),
  AUDIT_TRUNCATED: code(
    incomplete,
    "entries are missing at the end of the audit log",
    "The site's state remembers more than there is: find out who or what cut the log, and bring it back from a backup.",
  ),

  // serve, and bundles that come from one
  LISTEN_FAILED: code(
    transport,
    "the server cannot listen there",
    "Give --listen another address of this machine, or another port; port 0 takes one that is free.",
  ),
  SERVER_UNREACHABLE: code(
    transport,
    "the server gives no answer, or not all of it",
    "See whether `nix-airgap serve` runs there: open URL/health. Then run the command again.",
  ),
  SERVER_ANSWER: code(
    transport,
    "the server answers otherwise than `nix-airgap serve` does",
    "Give the URL that `nix-airgap serve` prints; what stands between must pass its answers on as they are. Open URL/health.",
  ),

  // bundle join
  BUNDLES_DIFFER: code(
    usage,
    "these bundles are not of one release",
    "Pack all of them from one revision of the flake, with the same options but --system.",
  ),
  BUNDLES_CONFLICT: code(
    integrity,
    "two bundles of one release contradict each other",
    "One of the packing machines has built something else. Find out which (nix-airgap rebuild), and pack there again.",
  ),

  // host and operations
  USAGE: code(usage, "the command line is not understood", "See --help."),
  OUT_EXISTS: code(
    usage,
    "the output already exists",
    "Choose another --out, or move the old one away; nothing was changed.",
  ),
  NIX_MISSING: code(
    nix,
    "Nix is not installed",
    "Install Nix 2.8 or newer (Debian: apt-get install nix-bin).",
  ),
  NIX_TOO_OLD: code(
    nix,
    "the Nix here is older than is needed",
    "Install the Nix that is named, or a newer one; nothing was changed.",
  ),
  NIX_UNSAFE: code(
    nix,
    "anybody on this machine may replace the nix program that PATH gives",
    "Put the folder of the right one first on PATH, or take away the right of all to write there.",
  ),
  NIX_FAILED: code(nix, "Nix failed", "Read Nix's last lines above."),
  DAEMON_KEY: code(
    nix,
    "Nix's daemon takes from this user only what a key signed that it trusts",
    "Root adds the key to trusted-public-keys in /etc/nix/nix.conf and restarts the daemon; or restores.",
  ),
  DISK: code(
    disk,
    "the disk or its permissions said no",
    "Free space or mend permissions, then run the command again.",
  ),
  NO_SPACE: code(
    disk,
    "not enough free space",
    "Free space, or choose another place, then run the command again.",
  ),
  LOCKED: code(disk, "another run is working here", "Wait until it has ended, then run the command again."),
  INTERRUPTED: code(interrupted, "interrupted", "Run the command again; finished work is not done twice."),
  STORE_CONTENT: code(
    integrity,
    "the store holds other content under this path",
    "Run: nix store repair PATH, with the store of this run; then restore again.",
  ),
  STORE_RECORD: code(
    integrity,
    "the store's database says something else of this path than the bundle",
    "Nothing was changed. Remove the path and what refers to it: nix-store --delete --ignore-liveness PATH (with the --store of this run); then restore again.",
  ),
  STORE_PATH_ABSENT: code(incomplete, "a path is not in the store after the import", "Run restore again."),
  RELEASE_UNKNOWN: code(
    usage,
    "no release of that name was restored into this store",
    "See what there is: nix-airgap releases; with the --store that it was restored into.",
  ),
  RELEASE_CURRENT: code(
    usage,
    "this release is the current one",
    "Make another one current first: nix-airgap releases use NAME; or give --current as well, and nothing is current.",
  ),
  RELEASE_RECORD: code(
    integrity,
    "what the store remembers of a release was altered, or is no record",
    "Restore that release again, which writes its record anew; until then do not rely on it.",
  ),
  RELEASE_ROOTS: code(
    incomplete,
    "GC roots of a release are missing: a collection takes its paths",
    "Restore it again from its bundle, or remove it: nix-airgap releases remove NAME.",
  ),
  RELEASE_NOT_TAKEN: code(
    trust,
    "this site's memory does not have that this release was taken",
    "Restore it again from its bundle, by the site's policy.",
  ),
  SCRATCH_FOREIGN: code(
    usage,
    "the scratch store holds what this rebuild did not put there",
    "Give --scratch another folder, or remove this one.",
  ),
  REBUILD_DIFFERS: code(
    differ,
    "a rebuilt path differs",
    "Read the verdict; report it to whoever released the bundle.",
  ),
  TIER_TOO_LOW: code(
    incomplete,
    "the bundle's tier does not hold what this needs",
    "Ask for a bundle of a higher tier.",
  ),
} as const satisfies Record<string, CodeInfo>;

export type Code = keyof typeof CODES;

/** What an error or a finding is about. Every value is text for people; machines read `code`. */
export interface Details {
  /** The thing that is wrong: a store path, a file of the bundle, a lock node, an option. */
  readonly subject?: string;
  readonly expected?: string;
  readonly actual?: string;
  /** What to do next, when the code's own advice is not specific enough. */
  readonly hint?: string;
  /** Byte offset in the input, 0-based. */
  readonly offset?: number;
  /** Line of the input, 1-based. */
  readonly line?: number;
}

/** A "no" with its reason. `neededBy` names the roots, lock nodes or derivations that want the subject. */
export interface Finding extends Details {
  readonly code: Code;
  readonly neededBy?: readonly string[];
}

/** Exit code of a list of findings: the first of 12, 10, 11, 13 that occurs, then any other; 0 if there are none. */
export function exitOf(findings: readonly Finding[]): ExitCode {
  const exits = new Set(findings.map((f) => CODES[f.code].exit));
  const first = [EXIT.trust, EXIT.malformed, EXIT.integrity, EXIT.incomplete].find((e) => exits.has(e));
  return first ?? [...exits][0] ?? EXIT.yes;
}

export class AirgapError extends Error {
  override readonly name = "AirgapError";
  readonly code: Code;
  readonly details: Details;

  constructor(code: Code, details: Details = {}, options: { cause?: unknown } = {}) {
    super(describe(code, details), options);
    this.code = code;
    this.details = details;
  }

  get exit(): ExitCode {
    return CODES[this.code].exit;
  }
}

/** Throws an `AirgapError`; an expression, so that it can end a `??` chain. */
export function fail(code: Code, details: Details = {}, options: { cause?: unknown } = {}): never {
  throw new AirgapError(code, details, options);
}

/** One line: the code's meaning, its subject, where, expected and actual. */
export function describe(code: Code, details: Details): string {
  const where =
    details.line !== undefined
      ? ` (line ${details.line})`
      : details.offset !== undefined
        ? ` (byte ${details.offset})`
        : "";
  const parts = [`${details.subject ? `${details.subject}: ` : ""}${CODES[code].explain}${where}`];
  if (details.expected !== undefined) parts.push(`expected ${details.expected}`);
  if (details.actual !== undefined) parts.push(`found ${details.actual}`);
  return parts.join("; ");
}
