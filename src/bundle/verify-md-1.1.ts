/** What is of format version 1.1 alone in VERIFY.md: keys of several kinds, and the people who signed. */
import type { VersionedText } from "./verify-md-steps.js";

const introduction = `You need sha256sum, jq 1.6 or newer, openssl 3.0 or newer, zstd, tar and a POSIX shell; for keys of OpenSSH ssh-keygen;
for the last two steps also Nix 2.8 or newer. Nothing is written into the bundle. If the bundle is one .tar file, unpack it
into an empty folder first: \`mkdir bundle && tar -xf FILE.tar -C bundle && cd bundle\`.

**This file is part of the bundle, and is not signed.** Whoever changed a bundle could have changed it too. Take these
commands from a copy that you trust: they are the same in every bundle of format version 1.1.

**The signers' public keys are not in this bundle.** Take them from where you took your trust: your own records, or the
release manager by another way. Run the steps in order, in one shell, from the bundle's top folder. Every step
prints what is wrong as a line that begins with BAD; the last lines of "Result" say whether there were any.`;

const steps = [
  {
    heading: "1. Set up",
    text: `\`KEYS\` is a folder of yours with one file for each public key that you trust: as Nix writes it (\`name:base64\`),
PEM (Ed25519 or P-256), or the line of OpenSSH's .pub. One key as Nix writes it may be given as \`KEY\` instead. \`NIX_KEYS\`
are the keys that may have signed store paths, separated by spaces; only step 9 uses it, and takes \`KEY\` without it.`,
    sh: String.raw`
export LC_ALL=C
W=$(mktemp -d)
mkdir "$W/keys"
bad() { echo "BAD: $*" | tee -a "$W/bad"; }
nix_to_pem() {
  { printf '\060\052\060\005\006\003\053\145\160\003\041\000'; sed 's/^[^:]*://' | base64 -d; } | openssl pkey -pubin -inform DER
}
if [ -z "$NIX_KEYS" ]; then NIX_KEYS=$KEY; fi
if [ -n "$KEY" ]; then printf %s "$KEY" | nix_to_pem > "$W/keys/KEY.pem" || bad "KEY is not an Ed25519 public key"; fi
for k in "$KEYS"/*; do
  if [ -n "$KEYS" ] && [ -f "$k" ]; then
    n=$(basename "$k")
    case $(head -c 11 "$k") in
      "-----BEGIN ") openssl pkey -pubin -in "$k" -out "$W/keys/$n.pem" || bad "$k is no public key" ;;
      ssh-* | ecdsa-* | sk-*) cut -d ' ' -f 1,2 "$k" > "$W/keys/$n.ssh" ;;
      *) nix_to_pem < "$k" > "$W/keys/$n.pem" || bad "$k is no public key" ;;
    esac
  fi
done
[ -n "$(ls "$W/keys")" ] || bad "set KEYS or KEY first, and not from this bundle"
`,
  },
  {
    heading: "2. The signatures",
    text: `At least one approval must be signed by a key of yours, and each that is must be for exactly this bundle.json, with the
product, release, sequence, systems and tier that it names, and approve it. Who signed, in which role, when, and what their
signature means is printed: whether that is enough is what your policy says. Approvals by other keys are passed over.`,
    sh: String.raw`
D=$(sha256sum < bundle.json | cut -c 1-64)
echo "bundle id: $D"
for a in approvals/*.sigstore.json; do
  jq -S . "$a" | cmp -s - "$a" || bad "$a is not in the one encoding"
  [ "$(jq -r .dsseEnvelope.payloadType "$a")" = application/vnd.in-toto+json ] || bad "$a has another payload type"
  jq -j .dsseEnvelope.payload "$a" | base64 -d > "$W/statement.json"
  { printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$(wc -c < "$W/statement.json" | tr -d ' ')"
    cat "$W/statement.json"; } > "$W/pae.bin"
  jq -j '.dsseEnvelope.signatures[0].sig' "$a" | base64 -d > "$W/sig.bin"
  jq -r '"-----BEGIN SSH SIGNATURE-----", .dsseEnvelope.signatures[0].sig, "-----END SSH SIGNATURE-----"' "$a" > "$W/sig.ssh"
  h=
  for k in "$W"/keys/*; do
    case $k in
      *.pem)
        openssl pkeyutl -verify -pubin -inkey "$k" -rawin -in "$W/pae.bin" -sigfile "$W/sig.bin" > "$W/out" 2>&1 &&
          h=$(openssl pkey -pubin -in "$k" -outform DER | sha256sum | cut -c 1-32) ;;
      *.ssh)
        sed 's/^/signer /' "$k" > "$W/allowed"
        ssh-keygen -Y verify -f "$W/allowed" -I signer -n nix-airgap -s "$W/sig.ssh" < "$W/pae.bin" > "$W/out" 2>&1 &&
          h=$(cut -d ' ' -f 2 "$k" | base64 -d | sha256sum | cut -c 1-32) ;;
    esac
  done
  if [ -n "$h" ]; then
    echo "$a" >> "$W/signed"
    jq -r '.predicate | "\(.decision) by \(.signer.name // .signer.keyName) (\(.signer.id // "a machine")), role \(.role), \(.signedAt): \(.meaning // "")"' "$W/statement.json"
    [ "$(jq -r '.subject[0].digest.sha256' "$W/statement.json")" = "$D" ] || bad "$a is for another bundle.json"
    [ "$(jq -r .predicate.decision "$W/statement.json")" = approved ] || bad "$a rejects this bundle"
    jq -e '.predicateType | test("^urn:nix-airgap:approval:v[12]$")' "$W/statement.json" > "$W/out" || bad "$a says something else"
    jq '.predicate | {product, release, sequence, systems, tier}' "$W/statement.json" > "$W/a"
    jq '{product, release, sequence, systems, tier}' bundle.json | cmp -s - "$W/a" || bad "$a names another release"
    r=$(jq -r .predicate.role "$W/statement.json")
    [ "$a" = "approvals/$r-$h.sigstore.json" ] || bad "$a has a name that does not fit its role and key"
  else
    echo "not signed by a key of yours: $a"
  fi
done
[ -s "$W/signed" ] || bad "no approval is signed by a key of yours"
`,
  },
  {
    heading: "3. The document",
    text: `bundle.json has one encoding, so this also shows that no key occurs twice. Then its format, totals, and that its
lists are sorted and name nothing twice.`,
    sh: `
jq -S . bundle.json | cmp - bundle.json || bad "bundle.json is not in the one encoding"
jq -e '.format == "nix-airgap-bundle" and (.version | startswith("1.")) and .features == ["approvals"] and .requires == []
  and .storeDir == "/nix/store"' bundle.json > "$W/out" || bad "bundle.json is of another format or version"
jq -e '([.paths[] | {blob, blobSize}] | unique) as $b | .totals == {
  paths: (.paths | length), narBytes: ([.paths[].narSize] | add),
  blobs: ($b | length), blobBytes: ([$b[].blobSize] | add) }' bundle.json > "$W/out" || bad "the totals do not add up"
jq -e '[[.paths[].storePath], [.inputs[].node], [.docs[].name], .systems, [.roots[] | [.purpose, .attr, .drvPath]],
  (.paths[] | .references, .signatures, .kinds)] | all(. == unique)' bundle.json > "$W/out" || bad "a list is not sorted"
`,
  },
];

const coverage = `## What this covers, and what it does not

\`nix-airgap verify\` checks these steps (docs/format.md, section 10); the numbers are those of the steps above.

| step | covered by | not covered by any command here |
|---|---|---|
| V1 open | 4: names, regular files | size caps before reading; that a tar has exactly the form of the format |
| V2 approvals | 2 | how many persons a policy asks for in which role, and which keys it revokes: compare what step 2 printed with it; that a FIDO key was touched or saw its PIN: ssh-keygen does not look; public keys of small order: take yours from someone who made it properly |
| V3 document | 3: encoding, version, totals, most lists; 7: cross-references | the rest of the schema |
| V4 no rollback | – | compare product and sequence with what you had before |
| V5 derived files | 6; with Nix 8 | VERIFY.md itself |
| V6 closure | 7: references, roots, inputs | that every path is needed, kinds, what the tier promises of derivation inputs |
| V7 names | 7: inputs; with Nix 8: content-addressed paths and derivations; 9: flake.lock | that a root's outputs and each deriver are its derivation's; fixed outputs without a content address; the wrapper flake; signatures of paths that no root needs |
| V8 blobs | 5 | the limit on zstd's window, but zstd refuses more than 128 MiB of its own |
| V9 NARs | – (with Nix 8 and 9 a looser parser reads them) | sorted, unique and legal entry names, zero padding, exact end |
| V10 references | – | store paths inside contents that are not declared |
| V11 nothing else | 4 | – |

None of this says that the release was built from its sources: for that, rebuild it (tiers build and source).`;

export const VERIFY_1_1: VersionedText = { introduction, steps, coverage };
