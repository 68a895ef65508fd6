import { itRefuses } from "./battle.js";
import { BLOBS } from "./blobs.js";

itRefuses("attacks on blobs and NARs", BLOBS);
