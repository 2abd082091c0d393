"""The images, built from the Dockerfile and used: on a machine without Docker, by buildah and runc."""
