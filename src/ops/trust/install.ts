/**
 * trust install: what an administrator runs once, so that people without privileges restore approved bundles, and can do
 * nothing else. Prints only: what a site's machine is made of is its administrator's business.
 */
import { dirname } from "node:path";
import { fail } from "../../errors.js";
import type { InstallReport } from "../../generated/types.js";
import { programFile } from "../../host/program.js";
import { nodePath } from "../../host/who.js";
import { formatPublicKey } from "../../nix/signature.js";
import type { Context } from "../context.js";
import { readImportKey } from "../import-key.js";
import type { SitePlace } from "../site.js";

export interface InstallOptions {
  readonly place: SitePlace;
  /** System user that owns key, state and policy. */
  readonly user: string;
  /** Group of those who may restore. */
  readonly group: string;
  /** Where the program's one file lies; default: the one that runs. */
  readonly program?: string;
  /** For NixOS: an excerpt of its configuration instead of a script. */
  readonly nixos: boolean;
}

const NAME = /^[a-z_][a-z0-9_-]{0,30}$/;

/**
 * @throws USAGE for a name, or for a path that needs quotes; IMPORT_KEY_MISSING; KEY_INVALID, DISK where the key cannot be
 * read
 */
export async function trustInstall(options: InstallOptions, context: Context): Promise<InstallReport> {
  const { place, user, group, nixos } = options;
  for (const name of [user, group]) {
    if (!NAME.test(name)) usage("a name", "letters, digits, _ and -, at most 31", name);
  }
  const program = options.program ?? programFile(context.workerEntry);
  const node = nodeFor(program, nixos, context);
  for (const path of [program, ...(node === null ? [] : [node]), place.policyPath, place.stateDir]) {
    if (!/^\/[\w./+@,-]+$/.test(path)) usage("a path", "one that needs no quotes", path);
  }
  const key = await readImportKey(place);
  if (key === null) return fail("IMPORT_KEY_MISSING", { subject: place.stateDir });
  const parts = { user, group, place, program, node, key: formatPublicKey(key.publicKey) };
  return {
    format: "nix-airgap-install",
    exit: 0,
    kind: nixos ? "nixos" : "script",
    text: nixos ? nixosModule(parts) : script(parts),
  };
}

/** What starts the program: a Node.js, or null for an executable. @throws USAGE */
function nodeFor(program: string, nixos: boolean, { workerEntry }: Context): string | null {
  const isModule = /\.m?js$/.test(program);
  if (nixos && !isModule) {
    // Its loader is not where other distributions have it.
    usage("--nixos", "nix-airgap.mjs, since NixOS starts no executable that was linked elsewhere", program);
  }
  if (isModule && !(workerEntry instanceof URL)) {
    usage(
      "--program",
      "an executable, or this command run by Node.js: node nix-airgap.mjs trust install",
      program,
    );
  }
  return isModule ? nodePath() : null;
}

interface Parts {
  readonly user: string;
  readonly group: string;
  readonly place: SitePlace;
  readonly program: string;
  readonly node: string | null;
  /** `name:base64`. */
  readonly key: string;
}

/** The command that the sudo rule allows. */
export const GATEWAY = "/usr/local/sbin/nix-airgap-site";
const PATHS = "/usr/local/bin:/usr/bin:/bin:/nix/var/nix/profiles/default/bin:/run/current-system/sw/bin";

/**
 * Takes a verb, a bundle (or the name of a release to go to), and files that authorize a way back; no option of any kind, so that nobody chooses another policy,
 * state, key or store. Nothing of the caller's environment gets through. POSIX sh, without braces after a dollar sign, which
 * Nix and TypeScript would take.
 */
function gateway({ place, program, node }: Parts): string {
  const command = node === null ? program : `${node} ${program}`;
  return `# Made by: nix-airgap trust install
set -eu
usage() {
  echo "usage: nix-airgap-site verify|restore|rebuild BUNDLE [ROLLBACK...]" >&2
  echo "       nix-airgap-site use RELEASE [ROLLBACK...]" >&2
  exit 2
}
[ $# -ge 2 ] || usage
case $1 in
  verify | restore | rebuild) verb=$1 ;;
  use) verb="releases use" ;;
  *) usage ;;
esac
what=$2
shift 2
left=$#
while [ "$left" -gt 0 ]; do
  set -- "$@" "--rollback=$1"
  shift
  left=$((left - 1))
done
who=$(printenv SUDO_USER) || who=
exec env -i PATH=${PATHS} "SUDO_USER=$who" \\
  ${command} $verb --policy=${place.policyPath} --state=${place.stateDir} "$@" -- "$what"
`;
}

function script(parts: Parts): string {
  const { user, group, place, key } = parts;
  return `#!/bin/sh
# Run once, as root, on the site. Read it first. Run again, it changes nothing.
set -eu
getent group ${group} > /dev/null || groupadd --system ${group}
getent passwd ${user} > /dev/null ||
  useradd --system --user-group --home-dir ${place.stateDir} --no-create-home --shell /usr/sbin/nologin ${user}

# Key, state and policy belong to ${user}. Everybody may read the policy and the state; nobody else the key.
install -d -o ${user} -g ${user} -m 0755 ${dirname(place.policyPath)} ${place.stateDir}
chown -R ${user}:${user} ${dirname(place.policyPath)} ${place.stateDir}
# Roots against the garbage collector, and the lock of restores.
install -d -o ${user} -g ${user} -m 0755 /nix/var/nix/gcroots/nix-airgap /nix/var/nix/nix-airgap
chown -R ${user}:${user} /nix/var/nix/gcroots/nix-airgap /nix/var/nix/nix-airgap

{
  echo '#!/bin/sh'
  cat << 'END'
${gateway(parts)}END
} > ${GATEWAY}
chmod 0755 ${GATEWAY}

mkdir -p /etc/sudoers.d
echo '%${group} ALL=(${user}) NOPASSWD: ${GATEWAY}' > /etc/sudoers.d/nix-airgap
chmod 0440 /etc/sudoers.d/nix-airgap

# Nix, its daemon included, takes what passed the gate, and nothing else that is not content-addressed.
mkdir -p /etc/nix
touch /etc/nix/nix.conf
sed -i -E '/^ *(extra-)?(trusted-public-keys|trusted-users|trusted-substituters|substituters)[ =]|^ *(require-sigs|sandbox|sandbox-fallback)[ =]/d' /etc/nix/nix.conf
cat >> /etc/nix/nix.conf << 'END'
require-sigs = true
trusted-public-keys = ${key}
trusted-users = root
substituters =
sandbox = true
sandbox-fallback = false
END

echo "Now restart nix-daemon, and add people to the group ${group}. They restore by:"
echo "  sudo -u ${user} ${GATEWAY} restore BUNDLE"
`;
}

function nixosModule(parts: Parts): string {
  const { user, group, place, key } = parts;
  const text = gateway({ ...parts, node: "$" + "{pkgs.nodejs}/bin/node" })
    .split("\n")
    .map((line) => (line === "" ? "" : `    ${line}`))
    .join("\n");
  return `# NixOS: a module for the configuration of the site. Key, state and policy belong to ${user}.
{ pkgs, ... }:
let
  gateway = pkgs.writeShellScriptBin "nix-airgap-site" ''
${text}  '';
in
{
  users.groups.${user} = { };
  users.groups.${group} = { };
  users.users.${user} = { isSystemUser = true; group = "${user}"; home = "${place.stateDir}"; };
  systemd.tmpfiles.rules = [
    "Z ${dirname(place.policyPath)} - ${user} ${user}"
    "Z ${place.stateDir} - ${user} ${user}"
    "d /nix/var/nix/gcroots/nix-airgap 0755 ${user} ${user}"
    "d /nix/var/nix/nix-airgap 0755 ${user} ${user}"
  ];
  security.sudo.extraRules = [{
    groups = [ "${group}" ];
    runAs = "${user}";
    commands = [{ command = "/run/current-system/sw/bin/nix-airgap-site"; options = [ "NOPASSWD" ]; }];
  }];
  environment.systemPackages = [ gateway ];
  nix.settings = {
    require-sigs = true;
    trusted-users = pkgs.lib.mkForce [ "root" ];
    trusted-public-keys = pkgs.lib.mkForce [ "${key}" ];
    substituters = pkgs.lib.mkForce [ ];
    sandbox = true;
    sandbox-fallback = false;
  };
}
`;
}

function usage(subject: string, expected: string, actual: string): never {
  return fail("USAGE", { subject, expected, actual });
}
