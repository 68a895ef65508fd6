/** The entry of a worker thread where the program is not one file. */
import { runWorker } from "./worker.js";

runWorker();
