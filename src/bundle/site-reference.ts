/** How a site names the top flake, so that it evaluates to what the packer saw (docs/format.md, section 9). */
import type { Flake } from "../generated/types.js";

/** The flake reference, without `#attr`. `wrapper`: where the document has one. */
export function siteReference(
  flake: Pick<Flake, "lastModified" | "narHash" | "rev" | "revCount" | "storePath">,
  wrapper: { readonly storePath: string; readonly narHash: string } | null,
): string {
  const tree = wrapper ?? flake;
  const query: [string, string | number | null][] = wrapper
    ? [["narHash", wrapper.narHash]]
    : [
        ["lastModified", flake.lastModified],
        ["narHash", flake.narHash],
        ["rev", flake.rev],
        ["revCount", flake.revCount],
      ];
  const parts = query.flatMap(([name, value]) =>
    value === null ? [] : [`${name}=${encodeURIComponent(value)}`],
  );
  return `path:${tree.storePath}?${parts.join("&")}`;
}
