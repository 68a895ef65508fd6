/**
 * VERIFY.md, which every bundle holds: how to check it with stock tools, without this program. The commands are
 * those of format version 1.0; a change here is a change of the format. Tests run every block on real bundles.
 */
import type { BundleDocument } from "../generated/types.js";

/** The text, a pure function of the document: it differs between bundles only in its first lines. */
export function verifyMd(document: BundleDocument): string {
  const { product, release, sequence, systems, tier } = document;
  const head = [
    `# How to check ${product} ${release}`,
    `Sequence ${sequence}, tier ${tier}, for ${systems.join(", ")}.`,
  ];
  return `${[...head, INTRODUCTION, ...STEPS.map(formatStep), COVERAGE].join("\n\n")}\n`;
}

interface Step {
  readonly heading: string;
  readonly text: string;
  /** Shell; without braces after a dollar sign, which TypeScript would take. */
  readonly sh: string;
}

function formatStep({ heading, text, sh }: Step): string {
  return `## ${heading}\n\n${text}\n\n\`\`\`sh\n${sh.trim()}\n\`\`\``;
}

const INTRODUCTION = `You need sha256sum, jq 1.6 or newer, openssl 3.0 or newer, zstd, tar and a POSIX shell; for the last two steps
also Nix 2.8 or newer. Nothing is written into the bundle. If the bundle is one .tar file, unpack it into an
empty folder first: \`mkdir bundle && tar -xf FILE.tar -C bundle && cd bundle\`.

**This file is part of the bundle, and is not signed.** Whoever changed a bundle could have changed it too. Take these
commands from a copy that you trust: they are the same in every bundle of format version 1.0.

**The signer's public key is not in this bundle.** Take it from where you took your trust: your own records, or the
release manager by another way. Run the steps in order, in one shell, from the bundle's top folder. Every step
prints what is wrong as a line that begins with BAD; the last lines of "Result" say whether there were any.`;

const STEPS: readonly Step[] = [
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
  {
    heading: "4. Files",
    text: `Every file is one that bundle.json, the approvals and the OCI view account for, none is missing, and all are
regular files. The OCI view (oci-layout, index.json and some blobs) is left out of bundles with very many blobs.`,
    sh: String.raw`
M=
if [ -e oci-layout ]; then
  M=$(jq -r '.manifests[].digest' index.json | sed -n 's/^sha256:\([0-9a-f]\{64\}\)$/\1/p' | while read -r m; do
    jq -e --arg d "sha256:$D" 'any(.layers[]?; .digest == $d)' "blobs/sha256/$m" > "$W/out" 2>&1 && echo "$m" && break
  done)
  [ -n "$M" ] || bad "index.json names no manifest of this bundle"
fi
{
  printf '%s\n' bundle.json VERIFY.md nix-cache-info roots.txt log/.keep nar/.keep realisations/.keep
  jq -r '.paths[] | "\(.storePath[11:43]).narinfo", "blobs/sha256/\(.blob)"' bundle.json
  jq -r '.docs[] | "docs/\(.name)"' bundle.json
  ls approvals | grep -E '^[a-z0-9][a-z0-9._-]{0,31}-[0-9a-f]{32}\.sigstore\.json$' | sed 's,^,approvals/,'
  if [ -n "$M" ]; then
    printf '%s\n' oci-layout index.json "blobs/sha256/$D" "blobs/sha256/$M"
    printf %s '{}' | sha256sum | sed 's,^,blobs/sha256/,; s, .*,,'
    jq -r '.layers[1].digest' "blobs/sha256/$M" | sed 's,^sha256:,blobs/sha256/,'
    jq -r '.docs[] | "blobs/sha256/\(.sha256)"' bundle.json
    sha256sum approvals/*.sigstore.json | sed 's,^,blobs/sha256/,; s, .*,,'
  fi
} | sort -u > "$W/listed"
find . -type f | sed 's,^\./,,' | sort > "$W/found"
comm -13 "$W/listed" "$W/found" | while read -r f; do bad "not listed: $f"; done
comm -23 "$W/listed" "$W/found" | while read -r f; do bad "missing: $f"; done
find . ! -type f ! -type d | while read -r f; do bad "not a regular file: $f"; done
find . -type d | grep -vxE '\.|\./(approvals|blobs|blobs/sha256|docs|log|nar|realisations)' |
  while read -r f; do bad "a folder that no bundle has: $f"; done
`,
  },
  {
    heading: "5. Blobs",
    text: `Every blob and document has its SHA-256 and size, is exactly one zstd frame, and holds a NAR of the size and hash
that bundle.json says.`,
    sh: String.raw`
ls blobs/sha256 | sed 's,.*,&  blobs/sha256/&,' | sha256sum --check --quiet - || bad "a blob is not what its name says"
jq -r '.docs[] | "\(.sha256) \(.size) docs/\(.name)"' bundle.json | while read -r h s f; do
  [ "$(sha256sum < "$f" | cut -c 1-64) $(wc -c < "$f" | tr -d ' ')" = "$h $s" ] || bad "another document: $f"
done
jq -r '.paths[] | "\(.blob) \(.blobSize) \(.narSize) \(.narHash[7:])"' bundle.json | sort -u > "$W/blobs"
while read -r b size nar_size nar_hash; do
  f=blobs/sha256/$b
  [ "$(wc -c < "$f" | tr -d ' ')" = "$size" ] || bad "another size: $f"
  zstd -l "$f" 2> "$W/out" | awk 'NR == 2 && $1 == 1 && $2 == 0 { ok = 1 } END { exit !ok }' || bad "not one frame: $f"
  want=$(printf %s "$nar_hash" | base64 -d | od -An -v -tx1 | tr -d ' \n')
  have=$(zstd -dcq "$f" 2> "$W/out" | head -c "$((nar_size + 1))" | sha256sum | cut -c 1-64)
  [ "$have" = "$want" ] || bad "another NAR: $f"
  have=$(zstd -dcq "$f" 2> "$W/out" | head -c "$((nar_size + 1))" | wc -c | tr -d ' ')
  [ "$have" = "$nar_size" ] || bad "another NAR size: $f"
done < "$W/blobs"
`,
  },
  {
    heading: "6. Derived files",
    text: `The narinfos, roots.txt, nix-cache-info and the OCI manifest are what bundle.json gives. jq cannot print Nix's base32:
of the lines FileHash and NarHash only the form is looked at here; step 8 compares them. VERIFY.md cannot be compared
without our program, or another copy.`,
    sh: String.raw`
printf 'StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 50\n' | cmp - nix-cache-info || bad "nix-cache-info differs"
cat log/.keep nar/.keep realisations/.keep | cmp - /dev/null || bad "a .keep file is not empty"
jq -r '[.roots[] | select(.purpose == "output").outputs[].path] | unique[]' bundle.json | cmp - roots.txt || bad "roots.txt differs"
jq -r '.paths[].storePath[11:43] + ".narinfo"' bundle.json | xargs cat > "$W/narinfos"
sed -E 's/^(FileHash|NarHash): sha256:[0-9a-df-np-sv-z]{52}$/\1/' "$W/narinfos" > "$W/have"
jq -r '.paths[] | "StorePath: \(.storePath)", "URL: blobs/sha256/\(.blob)", "Compression: \(.compression)", "FileHash",
  "FileSize: \(.blobSize)", "NarHash", "NarSize: \(.narSize)", "References: \([.references[][11:]] | join(" "))",
  (.deriver // empty | "Deriver: \(.[11:])"), (.signatures[] | "Sig: \(.)"), (.ca // empty | "CA: \(.)")' bundle.json |
  cmp - "$W/have" || bad "a narinfo differs from bundle.json"
if [ -n "$M" ]; then
  printf '{"imageLayoutVersion":"1.0.0"}\n' | cmp - oci-layout || bad "oci-layout differs"
  T=$(jq -r '.layers[1].digest' "blobs/sha256/$M" | cut -c 8-)
  tar -tf "blobs/sha256/$T" > "$W/have"
  { ls | grep '\.narinfo$'; printf '%s\n' log/.keep nar/.keep realisations/.keep nix-cache-info roots.txt; } | sort |
    cmp - "$W/have" || bad "the tar of narinfos has other members"
  mkdir "$W/narinfo-tar" && tar -xf "blobs/sha256/$T" -C "$W/narinfo-tar"
  while read -r f; do cmp "$f" "$W/narinfo-tar/$f" || bad "the tar of narinfos has another $f"; done < "$W/have"
  for a in approvals/*.sigstore.json; do echo "$(sha256sum < "$a" | cut -c 1-64) $(wc -c < "$a" | tr -d ' ')"; done > "$W/a"
  jq -S -c --arg d "$D" --arg ds "$(wc -c < bundle.json)" --arg t "$T" --arg ts "$(wc -c < "blobs/sha256/$T")" \
    --rawfile a "$W/a" '
    def blob($sha; $size; $type): {digest: "sha256:\($sha)", mediaType: $type, size: ($size | tonumber)};
    [ blob($d; $ds; "application/vnd.nix-airgap.document.v1+json"),
      blob($t; $ts; "application/vnd.nix-airgap.narinfos.v1.tar"),
      (.docs[] | blob(.sha256; .size; .mediaType)),
      ([.paths[] | {blob, blobSize}] | unique[] | blob(.blob; .blobSize; "application/vnd.nix-airgap.nar.v1+zstd")),
      ($a | split("\n")[] | select(. != "") | split(" ")
        | blob(.[0]; .[1]; "application/vnd.dev.sigstore.bundle.v0.3+json")) ] as $layers
    | { schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
        artifactType: "application/vnd.nix-airgap.bundle.v1",
        config: blob("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"; 2;
          "application/vnd.oci.empty.v1+json"),
        layers: ($layers | to_entries | unique_by(.value.digest) | sort_by(.key) | map(.value)) }' bundle.json |
    cmp - "blobs/sha256/$M" || bad "the OCI manifest differs"
fi
`,
  },
  {
    heading: "7. Closure and inputs",
    text: `Every reference, root, input and deriver is in the bundle; the inputs are those of flake.lock, with its hashes.`,
    sh: String.raw`
jq -r '.paths[].storePath' bundle.json > "$W/have"
jq -r '.paths[] | .references[], (.deriver // empty)' bundle.json | sort -u > "$W/a"
jq -r '.flake.storePath, .inputs[].storePath, .evaluation.wrapper, .roots[].outputs[].path,
  (select(.tier != "runtime") | .roots[].drvPath) | select(. != null)' bundle.json | sort -u - "$W/a" |
  comm -23 - "$W/have" | while read -r p; do bad "not in the bundle: $p"; done
jq -r '.paths[] | "\(.storePath) \(.narHash)"' bundle.json > "$W/have"
jq -r '.flake, .inputs[] | select(.storePath != null) | "\(.storePath) \(.narHash)"' bundle.json | sort -u |
  comm -23 - "$W/have" | while read -r p; do bad "an input with another hash: $p"; done
jq -r '.inputs[] | "\(.node) \(.narHash)"' bundle.json | sort > "$W/have"
jq -r '.flake.lock // empty | fromjson | .root as $root | .nodes as $n | [$root | recurse($n[.].inputs // {} | .[] | strings)]
  | unique[] | select(. != $root) | "\(.) \($n[.].locked.narHash)"' bundle.json | sort > "$W/a"
cmp "$W/have" "$W/a" || bad "the inputs are not those of flake.lock"
`,
  },
  {
    heading: "8. Names, with stock Nix",
    text: `Compares the base32 hashes of the narinfos. Then imports the derivations and every content-addressed path into an empty
store with no key trusted: Nix takes such a path only if its name follows from its contents, and a derivation only if
its outputs' names follow from it.`,
    sh: `
N="nix --extra-experimental-features nix-command"
ln -s "$PWD" "$W/bundle" && C=file://$W/bundle
sed -n 's/^FileHash: sha256://p' "$W/narinfos" | xargs nix-hash --type sha256 --to-base16 > "$W/have"
jq -r '.paths[].blob' bundle.json | cmp - "$W/have" || bad "a FileHash differs from bundle.json"
sed -n 's/^NarHash: sha256://p' "$W/narinfos" | xargs nix-hash --type sha256 --to-base16 > "$W/have"
jq -r '.paths[].narHash' bundle.json | xargs nix-hash --type sha256 --to-base16 |
  cmp - "$W/have" || bad "a NarHash differs from bundle.json"
jq -r '.paths[] | select(.storePath | endswith(".drv")).storePath' bundle.json > "$W/drvs"
jq -r '.paths[] | select(.ca != null and (.storePath | endswith(".drv") | not)).storePath' bundle.json > "$W/others"
if [ -s "$W/drvs" ]; then
  xargs $N copy --derivation --from "$C" --to "$W/names" --option trusted-public-keys '' < "$W/drvs" ||
    bad "Nix refuses a derivation"
fi
if [ -s "$W/others" ]; then
  xargs $N copy --from "$C" --to "$W/names" --option trusted-public-keys '' < "$W/others" ||
    bad "Nix refuses a content-addressed path"
fi
`,
  },
  {
    heading: "9. Restore, with stock Nix",
    text: `Imports the roots into another store, signatures required, and compares flake.lock in the flake's tree with the
signed text. To restore for use, leave out \`--to\`.`,
    sh: String.raw`
$N copy --from "$C" --to "$W/store" --option require-sigs true --option trusted-public-keys "$NIX_KEYS" \
  $(cat roots.txt) || bad "Nix refuses to restore the roots"
F=$(jq -r .flake.storePath bundle.json)
$N copy --from "$C" --to "$W/store" --option require-sigs true --option trusted-public-keys "$NIX_KEYS" \
  "$F" || bad "Nix refuses to restore the flake"
if jq -e '.flake.lock != null' bundle.json > "$W/out"; then
  jq -j .flake.lock bundle.json | cmp - "$W/store$F/$(jq -r '.flake.dir' bundle.json)/flake.lock" || bad "flake.lock differs"
fi
`,
  },
  {
    heading: "Result",
    text: `Nothing but OK means that every step you ran held. Then remove the working folder: \`chmod -R u+w "$W"; rm -r "$W"\`.`,
    sh: `
if [ -s "$W/bad" ]; then cat "$W/bad"; false; else echo OK; fi
`,
  },
];

const COVERAGE = `## What this covers, and what it does not

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
