import { itRefuses } from "./battle.js";
import { TEXT } from "./text.js";

itRefuses("attacks on what is read as text", TEXT);
