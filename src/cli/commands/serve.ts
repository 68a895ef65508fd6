import { command, given } from "../command.js";
import { readTrust, trustOptions } from "../trust.js";
import { BUNDLE, bundleAt, foldersOfParts, partsOption } from "./shared.js";

export const serveCommand = command({
  name: "serve",
  summary: "Verify a bundle, and serve it to the other machines of a site as a binary cache",
  description:
    "Verifies all of a bundle first, and serves nothing unless it holds. Then gives it out over HTTP, straight from the directory, the tar or its parts: to stock Nix as a binary cache, its narinfos signed by the site's import key, and to nix-airgap on other machines as BUNDLE. A page at / says how to use it, /health whether all is well. Read-only; who reaches it can read all of the bundle. Listens on this machine alone unless told otherwise. Ctrl-C or SIGTERM ends it: answers on their way have 10 seconds, and the exit is 0.",
  positional: BUNDLE,
  options: {
    ...trustOptions,
    parts: partsOption,
    listen: {
      kind: "text",
      describe: "ADDRESS:PORT  to listen on; default: 127.0.0.1:8484; port 0 takes any",
    },
    "beyond-loopback": {
      kind: "flag",
      describe: "Allow --listen with an address that other machines can reach",
    },
    key: {
      kind: "text",
      describe:
        "FILE  of a secret key in Nix's form, or -, where the site keeps no import key; default: one for this run",
    },
    "access-log": {
      kind: "text",
      describe: "FILE  to add a line of JSON to for each request; default: stderr",
    },
  },
  examples: [
    {
      what: "To the machines of a site, by its policy and its import key",
      command: "nix-airgap serve acme-pump-1.4.0.tar --listen 192.168.7.1:8484 --beyond-loopback",
    },
    {
      what: "To this machine alone",
      command: "nix-airgap serve /media/bundle --public-key acme-release-1.pub",
    },
  ],
  async run({ positionals: [bundle = ""], options }, session) {
    const { context } = session;
    const trust = await readTrust(options, session, { verb: "serve", withoutState: false });
    const { readSecretKey } = await import("../keys.js");
    const key = options.key === undefined ? undefined : await readSecretKey(options.key, session);
    const { serve } = await import("../../ops/serve.js");
    const { renderServe } = await import("../render/serve.js");
    const report = await serve(
      bundleAt(bundle, context.cwd),
      {
        trust,
        parts: foldersOfParts(options.parts, context.cwd),
        ...given("listen", options.listen),
        beyondLoopback: options["beyond-loopback"],
        ...given("key", key),
        ...given("accessLog", options["access-log"]),
      },
      context,
    );
    return { report, render: (view) => renderServe(report, view) };
  },
});
