# One file of gigabytes: a fetched one, many times over.
{
  description = "Benchmark: one path with most of the bytes";

  outputs = { self }:
    let
      part = builtins.fromJSON (builtins.readFile ./parts.json);
      forEach = f: builtins.listToAttrs (map (name: { inherit name; value = f name; }) [ "x86_64-linux" "aarch64-linux" ]);
    in
    {
      packages = forEach (system: {
        default = derivation {
          name = "bench-huge";
          inherit system;
          builder = "/bin/sh";
          args = [ "-e" "-c" ''PATH=/usr/bin:/bin; for i in $(seq ${toString part.times}); do cat "$piece"; done > "$out"'' ];
          piece = derivation {
            inherit (part) name url;
            system = "builtin";
            builder = "builtin:fetchurl";
            outputHashMode = "flat";
            outputHashAlgo = "sha256";
            outputHash = part.sha256;
            preferLocalBuild = true;
          };
        };
      });
    };
}
