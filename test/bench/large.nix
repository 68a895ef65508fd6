# Sources of all sizes, fetched by their hashes, and a package of each, which refers to earlier ones.
{
  description = "Benchmark: few paths, most of the bytes in some of them";

  outputs = { self }:
    let
      parts = builtins.fromJSON (builtins.readFile ./parts.json);
      forEach = f: builtins.listToAttrs (map (name: { inherit name; value = f name; }) [ "x86_64-linux" "aarch64-linux" ]);
    in
    {
      packages = forEach (system:
        let
          mk = name: script: attrs: derivation ({
            inherit name system;
            builder = "/bin/sh";
            args = [ "-e" "-c" "PATH=/usr/bin:/bin LC_ALL=C\n${script}" ];
          } // attrs);

          sourceOf = part: derivation {
            name = "${part.name}-source";
            system = "builtin";
            builder = "builtin:fetchurl";
            inherit (part) url;
            unpack = true;
            outputHashMode = "recursive";
            outputHashAlgo = "sha256";
            outputHash = part.narHash;
            preferLocalBuild = true;
          };

          packages = map
            (part: mk part.name ''
              mkdir -p "$out/bin"
              cp -R "$source" "$out/data"
              chmod -R u+w "$out/data"
              # As linked programs have: the paths of libraries, in the midst of other bytes.
              for file in $(find "$out/data" -type f | sort | head -n 3); do
                for dependency in $dependencies; do printf '%s/lib:' "$dependency" >> "$file"; done
              done
              for dependency in $dependencies; do
                printf '#!/bin/sh\nexec %s/bin/run "$@"\n' "$dependency" > "$out/bin/''${dependency##*-}"
              done
              printf '#!/bin/sh\nls %s/data\n' "$out" > "$out/bin/run"
              chmod +x "$out"/bin/*
            '' {
              source = sourceOf part;
              dependencies = map (builtins.elemAt packages) part.dependencies;
            })
            parts;
        in
        {
          default = mk "bench-large" ''printf '%s\n' $packages > "$out"'' { inherit packages; };
        });
    };
}
