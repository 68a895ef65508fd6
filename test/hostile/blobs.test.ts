import { itRefuses } from "./battle.js";
import { BLOBS } from "./contents.js";

itRefuses("attacks on blobs and NARs", BLOBS);
