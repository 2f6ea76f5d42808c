# How a compute node gets to d4a: every job sources this file. Change here what your site wants.
# module load python/3.11

# the Python that `d4a slurm submit` ran in: it must lie on a file system that the nodes see
d4a=(@PYTHON@ -m d4a.curator)
# in a container, with the folders of sources, models and dataset bound to the same paths:
# d4a=(apptainer exec --nv --bind /scratch /shared/d4a.sif d4a)

export OMP_NUM_THREADS=1             # units run side by side, one a core
export HF_HUB_OFFLINE=1              # compute nodes have no network: fetch weights on a login node before
# export NUMBA_CACHE_DIR=/scratch/$USER/numba   # where the home folder cannot be written to
