/** Git repositories that tests make: the same files give the same revision, whatever the user's git is told. */
import { execFileSync } from "node:child_process";

const WHO = { NAME: "Fixture", EMAIL: "fixture@example.invalid", DATE: "2024-03-01T12:00:00Z" };

/** Makes a folder a repository of one commit. */
export function commitAll(dir: string, message: string): void {
  const env: NodeJS.ProcessEnv = {
    PATH: process.env["PATH"],
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
  };
  for (const [field, value] of Object.entries(WHO)) {
    env[`GIT_AUTHOR_${field}`] = value;
    env[`GIT_COMMITTER_${field}`] = value;
  }
  const git = (...args: string[]) =>
    execFileSync("git", ["-C", dir, ...args], { env, stdio: ["ignore", "ignore", "inherit"] });
  git("-c", "init.defaultBranch=main", "init", "-q", "--template=");
  git("add", "--all");
  git("commit", "-q", "-m", message);
}
