"""The Correct tab: painting, sharpening, live wire, tools."""
