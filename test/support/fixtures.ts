/**
 * The fixture flakes (fixtures/) as tests see them: laid out as real repositories in a folder of the test's own, with
 * an environment for the real Nix that touches no store, cache or configuration outside it. What the flakes contain
 * is the business of fixtures/ itself; hiding the originals again is test/support/site's.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** Builders of the fixtures are the host's shell and coreutils: a sandbox must be lent these. */
export const SANDBOX_PATHS = "/bin /usr /lib /lib64?";

/** The system of this machine, one of the two that the fixtures have. */
export const SYSTEM = process.arch === "arm64" ? "aarch64-linux" : "x86_64-linux";

/** The helper that runs a command without network and with paths masked: `[SITE, "--mask", PATH…, "--", COMMAND…]`. */
export const SITE = resolve(import.meta.dirname, "site");

export interface Fixtures {
  /** Where everything lies; mask this on the site. */
  readonly originals: string;
  /** Flake references for the packer, by fixture. */
  readonly flakes: Readonly<Record<FlakeName, string>>;
}

type FlakeName =
  | "acme-pump" // the product: everything that a bundle must carry
  | "dir-flake" // its flake.nix lies in the folder nested/ of its repository
  | "stale-lock" // has an input that its lock lacks
  | "fetch-git" // calls builtins.fetchGit while it is evaluated
  | "floating-ca" // a floating content-addressed derivation
  | "no-default" // packages, but none called default
  | "container"; // a container image, as an archive and as a script that streams it

/** Lays the family out in `dir` (made if missing, must be empty). The same path gives the same bytes every time. */
export function makeFixtures(dir: string): Fixtures {
  const product = execFileSync(resolve(import.meta.dirname, "../../fixtures/make"), [dir], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  }).trim();
  const originals = resolve(product, "..");
  const flake = (name: string) => `git+file://${originals}/${name}`;
  return {
    originals,
    flakes: {
      "acme-pump": flake("acme-pump"),
      "dir-flake": `${flake("dir-flake")}?dir=nested`,
      "stale-lock": flake("stale-lock"),
      "fetch-git": flake("fetch-git"),
      "floating-ca": flake("floating-ca"),
      "no-default": flake("no-default"),
      container: flake("container"),
    },
  };
}

/**
 * The variables of a Nix whose home, caches and configuration lie in `dir`. PATH is kept, all other NIX_* variables are
 * left out. With `--store DIR` such a Nix never sees the machine's own store.
 */
export function nixEnvironment(dir: string): NodeJS.ProcessEnv {
  const conf = join(dir, "conf");
  mkdirSync(conf, { recursive: true });
  writeFileSync(
    join(conf, "nix.conf"),
    [
      "experimental-features = nix-command flakes",
      "build-users-group =",
      "sandbox = false",
      "substituters =",
      "use-registries = false",
      "",
    ].join("\n"),
  );
  return {
    PATH: process.env["PATH"],
    HOME: join(dir, "home"),
    XDG_CACHE_HOME: join(dir, "cache"),
    XDG_CONFIG_HOME: join(dir, "config"),
    NIX_CONF_DIR: conf,
  };
}
