# Many small paths: files of this repository, files fetched by their hashes, and packages that refer to earlier ones.
{
  description = "Benchmark: many small paths";

  outputs = { self }:
    let
      parts = builtins.fromJSON (builtins.readFile ./parts.json);
      forEach = f: builtins.listToAttrs (map (name: { inherit name; value = f name; }) [ "x86_64-linux" "aarch64-linux" ]);
      textOf = { name, place }:
        if place == "store" then builtins.toFile name (builtins.readFile (./texts + "/${name}")) else ./texts + "/${name}";
      texts = map textOf parts.texts;
    in
    {
      packages = forEach (system:
        let
          mk = name: script: attrs: derivation ({
            inherit name system;
            builder = "/bin/sh";
            args = [ "-e" "-c" "PATH=/usr/bin:/bin\n${script}" ];
          } // attrs);

          fetched = map
            (file: derivation {
              inherit (file) name url;
              system = "builtin";
              builder = "builtin:fetchurl";
              outputHashMode = "flat";
              outputHashAlgo = "sha256";
              outputHash = file.sha256;
              preferLocalBuild = true;
            })
            parts.fetched;

          packages = map
            (part: mk part.name ''
              cat $sources > "$out"
              printf '%s\n' $dependencies >> "$out"
            '' {
              sources = map (builtins.elemAt texts) part.texts ++ map (builtins.elemAt fetched) part.fetched;
              dependencies = map (builtins.elemAt packages) part.dependencies;
            })
            parts.packages;

          groups = map
            (group: mk group.name ''printf '%s\n' $packages > "$out"'' {
              packages = map (builtins.elemAt packages) group.packages;
            })
            parts.groups;
        in
        {
          default = mk "bench-small" ''printf '%s\n' $groups > "$out"'' { inherit groups; };
        });
    };
}
