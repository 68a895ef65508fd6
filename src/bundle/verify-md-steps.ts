/** The steps of VERIFY.md that all versions of the format have in common: files, blobs, names, Nix. */

/** What differs between versions: whose signatures there may be, and how one checks them. */
export interface VersionedText {
  readonly introduction: string;
  /** The first three. */
  readonly steps: readonly Step[];
  readonly coverage: string;
}

export interface Step {
  readonly heading: string;
  readonly text: string;
  /** Shell; without braces after a dollar sign, which TypeScript would take. */
  readonly sh: string;
}

export const COMMON_STEPS: readonly Step[] = [
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
