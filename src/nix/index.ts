/** Nix's formats, for users of the library: pure, no I/O. */
export * from "./base32.js";
export * from "./closure.js";
export * from "./content-address.js";
export * from "./derivation.js";
export * from "./derivation-hash.js";
export * from "./flake-lock.js";
export * from "./hash.js";
export * from "./hash-modulo.js";
export * from "./nar.js";
export * from "./nar-writer.js";
export * from "./narinfo.js";
export * from "./references.js";
export * from "./signature.js";
export * from "./store-path.js";
