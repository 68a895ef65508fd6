/**
 * What is of format version 1.0 alone in VERIFY.md: one key, of Ed25519. A change here is a change of a format that is out: do
 * not.
 */
import type { VersionedText } from "./verify-md-steps.js";

const introduction = `You need sha256sum, jq 1.6 or newer, openssl 3.0 or newer, zstd, tar and a POSIX shell; for the last two steps
also Nix 2.8 or newer. Nothing is written into the bundle. If the bundle is one .tar file, unpack it into an
empty folder first: \`mkdir bundle && tar -xf FILE.tar -C bundle && cd bundle\`.

**This file is part of the bundle, and is not signed.** Whoever changed a bundle could have changed it too. Take these
commands from a copy that you trust: they are the same in every bundle of format version 1.0.

**The signer's public key is not in this bundle.** Take it from where you took your trust: your own records, or the
release manager by another way. Run the steps in order, in one shell, from the bundle's top folder. Every step
prints what is wrong as a line that begins with BAD; the last lines of "Result" say whether there were any.`;

const steps = [
  {
    heading: "1. Set up",
    text: `\`KEY\` is the signer's public key as Nix writes it, \`name:base64\`. The second command turns it into PEM. If
you were given PEM, copy it to \`"$W/signer.pem"\` instead. \`NIX_KEYS\` are the keys that may have signed store paths,
separated by spaces; only step 9 uses it.`,
    sh: String.raw`
export LC_ALL=C
W=$(mktemp -d)
bad() { echo "BAD: $*" | tee -a "$W/bad"; }
if [ -z "$KEY" ]; then bad "set KEY first, and not from this bundle"; fi
if [ -z "$NIX_KEYS" ]; then NIX_KEYS=$KEY; fi
{ printf '\060\052\060\005\006\003\053\145\160\003\041\000'; printf %s "$KEY" | sed 's/^[^:]*://' | base64 -d; } |
  openssl pkey -pubin -inform DER -out "$W/signer.pem" || bad "KEY is not an Ed25519 public key"
`,
  },
  {
    heading: "2. The signature",
    text: `At least one approval must be signed by your key, and each that is must be for exactly this bundle.json, with the
product, release, sequence, systems and tier that it names. Approvals by other keys are passed over.`,
    sh: `
D=$(sha256sum < bundle.json | cut -c 1-64)
echo "bundle id: $D"
for a in approvals/*.sigstore.json; do
  jq -S . "$a" | cmp -s - "$a" || bad "$a is not in the one encoding"
  [ "$(jq -r .dsseEnvelope.payloadType "$a")" = application/vnd.in-toto+json ] || bad "$a has another payload type"
  jq -j .dsseEnvelope.payload "$a" | base64 -d > "$W/statement.json"
  { printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$(wc -c < "$W/statement.json" | tr -d ' ')"
    cat "$W/statement.json"; } > "$W/pae.bin"
  jq -j '.dsseEnvelope.signatures[0].sig' "$a" | base64 -d > "$W/sig.bin"
  if openssl pkeyutl -verify -pubin -inkey "$W/signer.pem" -rawin -in "$W/pae.bin" -sigfile "$W/sig.bin" > "$W/out" 2>&1
  then
    echo "signed by your key: $a"
    echo "$a" >> "$W/signed"
    [ "$(jq -r '.subject[0].digest.sha256' "$W/statement.json")" = "$D" ] || bad "$a is for another bundle.json"
    jq '.predicate | {product, release, sequence, systems, tier}' "$W/statement.json" > "$W/a"
    jq '{product, release, sequence, systems, tier}' bundle.json | cmp -s - "$W/a" || bad "$a names another release"
    r=$(jq -r .predicate.role "$W/statement.json")
    h=$(openssl pkey -pubin -in "$W/signer.pem" -outform DER | sha256sum | cut -c 1-32)
    [ "$a" = "approvals/$r-$h.sigstore.json" ] || bad "$a has a name that does not fit its role and key"
  else
    echo "not signed by your key: $a"
  fi
done
[ -s "$W/signed" ] || bad "no approval is signed by your key"
`,
  },
  {
    heading: "3. The document",
    text: `bundle.json has one encoding, so this also shows that no key occurs twice. Then its format, totals, and that its
lists are sorted and name nothing twice.`,
    sh: `
jq -S . bundle.json | cmp - bundle.json || bad "bundle.json is not in the one encoding"
jq -e '.format == "nix-airgap-bundle" and (.version | startswith("1.")) and .features == [] and .requires == []
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
| V2 approvals | 2 | public keys of small order: take yours from someone who made it properly |
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

export const VERIFY_1_0: VersionedText = { introduction, steps, coverage };
