import { DIRECTORY, TAR } from "./archive.js";
import { itRefuses } from "./battle.js";

itRefuses("attacks on the container", [...TAR, ...DIRECTORY]);
