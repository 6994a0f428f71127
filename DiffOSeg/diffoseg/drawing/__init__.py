"""From a scan to drawings: what the network looks at, the chains of both kinds, the Segmenter."""
