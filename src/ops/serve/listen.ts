/** Where `serve` listens: an address of this machine and a port. Names are not looked up: on a site nobody answers. Pure. */
import { fail } from "../../errors.js";

export interface ListenPlace {
  /** As the system takes it. */
  readonly address: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Whether only programs of this machine can reach it. */
  readonly isLoopback: boolean;
}

export const DEFAULT_LISTEN = "127.0.0.1:8484";

/** `ADDRESS:PORT`, an IPv6 address in brackets. @throws AirgapError USAGE */
export function parseListen(text: string): ListenPlace {
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([0-9.]{7,15})|(localhost)):(0|[1-9]\d{0,4})$/.exec(text);
  const [, v6, v4, name, digits = ""] = match ?? [];
  const port = Number(digits);
  const address = v6 !== undefined ? canonicalV6(v6) : name !== undefined ? "127.0.0.1" : v4;
  if (match === null || address === null || address === undefined || port > 65_535) return refuse(text);
  if (v4 !== undefined && !isV4(v4)) return refuse(text);
  return { address, port, isLoopback: isLoopback(address) };
}

/** `http://…/`. An address that stands for all of this machine's is replaced by `hostName`. */
export function urlOf(address: string, port: number, hostName: string): string {
  const host = address === "0.0.0.0" || address === "::" ? hostName : address;
  return `http://${host.includes(":") ? `[${host}]` : host}:${port}/`;
}

function refuse(text: string): never {
  return fail("USAGE", {
    subject: `--listen ${text}`,
    expected: "ADDRESS:PORT: an IPv4 address, or an IPv6 address in brackets, and a port up to 65535",
    hint: "For instance --listen 192.168.7.1:8484, --listen [fd00::1]:8484; for this machine alone 127.0.0.1:8484.",
  });
}

function isV4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
}

function canonicalV6(text: string): string | null {
  if (!URL.canParse(`http://[${text}]/`)) return null;
  return new URL(`http://[${text}]/`).hostname.slice(1, -1);
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1" || /^::ffff:7f[0-9a-f]{2}:/.test(address);
}
